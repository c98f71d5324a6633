#!/bin/sh
# The tests of `make test`. While those run that need no API server, the control plane of the
# others is built: eight minutes of a cold machine that nobody has to wait for twice.
set -u

python=.venv/bin/python
log=.venv/controlplane.log

nice "$python" tests/controlplane/build.py >"$log" 2>&1 &
build=$!
trap 'kill "$build" 2>/dev/null; exit 130' INT TERM

make --no-print-directory unit
unit=$?

kill -0 "$build" 2>/dev/null && echo "Waiting for the control plane to be built: $log"
wait "$build"
built=$?
cat "$log"

# 3: no Go here. The integration tests then say so themselves, and skip or fail.
integration=1
if [ "$built" -eq 0 ] || [ "$built" -eq 3 ]; then
    "$python" -m pytest -m integration -n "${INTEGRATION_WORKERS:-2}" --dist loadfile
    integration=$?
fi

[ "$unit" -eq 0 ] || echo "make unit: exit $unit" >&2
[ "$integration" -eq 0 ] || echo "integration tests: exit $integration" >&2
[ "$unit" -eq 0 ] && [ "$integration" -eq 0 ]
