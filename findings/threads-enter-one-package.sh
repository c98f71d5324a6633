#!/usr/bin/env bash
# requests 2.34.2, Jinja2 3.1.6 and urllib3 2.8.0 from PyPI, on CPython 3.11.
#
# A good guess: two threads may import from the same package at the same time. Each module has a lock of its own, so
# the later thread waits for the earlier, and both get what they asked for.
#
# Instead imports fail that have worked for years, where one thread enters a package by its top (`import requests`)
# and the other by one of its parts (`from requests.models import Response`), and the package imports that part
# itself. The first holds the package and waits for the part, the second holds the part and waits for the package.
# What Python makes of it changes from run to run: _DeadlockError (a RuntimeError) in one thread, which may well be
# the one that only wrote `import requests`; or an ImportError about a circular import, in both, of a package that
# has none. It shows only while the package is loaded for the first time, so a program that imports lazily meets it
# once in very many starts. Where both threads enter by the top, nothing ever fails.
#
# Seen, with a quarter of a second between "the package was found" and "its body runs", ten times each:
#   top and part   requests.models 8, jinja2.environment 10, urllib3.response 10 of 10 fail
#   top and top    none of 10 fails, for each
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check requests==2.34.2 Jinja2==3.1.6 urllib3==2.8.0

cat > "$work/two_threads.py" <<'PY'
"""python two_threads.py PACKAGE MODULE: both at once, a thread each; prints what they got."""
import importlib
import sys
import threading
import time

package, module = sys.argv[1:]
entered = threading.Event()
seen = []


class Slow:
    """The package is found at once, and read from its disk a moment later."""

    def find_spec(self, name, path=None, target=None):
        if name == package:
            entered.set()
            time.sleep(0.25)
        return None


def enter(name):
    try:
        importlib.import_module(name)
        seen.append("imported")
    except Exception as error:
        seen.append(type(error).__name__)


sys.meta_path.insert(0, Slow())
threads = [threading.Thread(target=enter, args=(name,)) for name in (package, module)]
threads[0].start()
entered.wait()
threads[1].start()
for thread in threads:
    thread.join()
print(*sorted(seen))
PY

failures() { # PACKAGE MODULE
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$work/venv/bin/python" -W ignore "$work/two_threads.py" "$1" "$2" | grep -v '^imported imported$' || true
    done | tee -a "$work/seen" | wc -l
}

changed=0
for part in requests.models jinja2.environment urllib3.response; do
    top="${part%%.*}"
    by_part="$(failures "$top" "$part")" by_top="$(failures "$top" "$top")"
    echo "$part: $by_part of 10 beside the top; the top beside itself: $by_top of 10"
    if [ "$by_part" -lt 5 ] || [ "$by_top" -gt 0 ]; then
        changed=1
    fi
done
sort "$work/seen" | uniq -c
if [ "$changed" = 1 ]; then
    echo "changed: threads that enter a package by its top and by its part fail less often, or others fail" >&2
    exit 1
fi
echo "holds: two threads that enter one package, by its top and by its part, do not both get it"
