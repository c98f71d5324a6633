#!/usr/bin/env bash
# msgspec 0.22.0, python-dateutil 4.0.0, pendulum 3.3.0 and pydantic 2.14.4, all from PyPI.
#
# A good guess: of a timestamp with more than six digits of a second (Go writes nine) a Python parser keeps six
# and drops the rest, as datetime.fromisoformat does.
#
# Instead msgspec rounds, and the carry goes all the way up: the last tenth of a microsecond of 2026 is
# 2027; as a time of day it is midnight at the start of the day; and the end of the year 9999 is no valid
# timestamp. Even msgspec is not of one mind: msgspec.yaml (PyYAML underneath) cuts. Two programs that bucket
# the same log lines by day can count a line on two days.
#
# Seen, for 2026-12-31T23:59:59.9999999Z:
#   msgspec.json, msgspec.convert                        2027-01-01T00:00:00+00:00
#   msgspec.yaml, fromisoformat, dateutil, pendulum, pydantic  2026-12-31T23:59:59.999999+00:00
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    msgspec==0.22.0 PyYAML==6.0.4 python-dateutil==4.0.0 pendulum==3.3.0 pydantic==2.14.4

"$work/venv/bin/python" - <<'PY'
import sys
from datetime import datetime, time

import msgspec
import pendulum
import pydantic
from dateutil.parser import isoparse

TEXT = "2026-12-31T23:59:59.9999999Z"
UP, CUT = "2027-01-01T00:00:00+00:00", "2026-12-31T23:59:59.999999+00:00"


def latest():
    try:
        return msgspec.convert("9999-12-31T23:59:59.9999999Z", datetime).isoformat()
    except msgspec.ValidationError:
        return "ValidationError"


seen = {
    "msgspec.convert": (msgspec.convert(TEXT, datetime).isoformat(), UP),
    "msgspec.json": (msgspec.json.decode(f'"{TEXT}"', type=datetime).isoformat(), UP),
    "msgspec.yaml": (msgspec.yaml.decode(TEXT).isoformat(), CUT),
    "msgspec, a time": (msgspec.convert("23:59:59.9999999", time).isoformat(), "00:00:00"),
    "msgspec, the year 9999": (latest(), "ValidationError"),
    "pendulum": (pendulum.parse(TEXT).isoformat().replace("Z", "+00:00"), CUT),
    "pydantic": (pydantic.TypeAdapter(datetime).validate_python(TEXT).isoformat(), CUT),
    "dateutil": (isoparse(TEXT).isoformat(), CUT),
}
if sys.version_info >= (3, 11):  # which takes a Z and a seventh digit
    seen["fromisoformat"] = (datetime.fromisoformat(TEXT).isoformat(), CUT)
changed = {name: pair for name, pair in seen.items() if pair[0] != pair[1]}
for name, (now, before) in changed.items():
    print(f"changed: {name}: was {before}, is {now}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: msgspec rounds the seventh digit of a second up, into the next year; the others cut it")
PY
