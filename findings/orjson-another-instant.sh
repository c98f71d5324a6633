#!/usr/bin/env bash
# orjson 3.13.0 and msgspec 0.22.0, both from PyPI.
#
# A good guess: a datetime that is written as JSON and read again is the same instant; a serializer that
# cannot write it exactly either refuses or moves it to UTC.
#
# Instead: RFC 3339 has no seconds in an offset from UTC, Python has (the time zone database needs them: Amsterdam
# before 1937 was 19 minutes and 32 seconds ahead). Both libraries round the offset to the minute and leave
# the clock reading alone, so that the instant moves by up to half a minute, without a word. isoformat()
# keeps the seconds. The carry is not looked after in orjson: an offset just below a day becomes "+23:60", which
# Python's own parser refuses.
#
# Seen, for 1900-01-01T00:00:00 at an offset of
#   +00:19:32   orjson, msgspec ...+00:20, 28 seconds before the instant; isoformat ...+00:19:32
#   +00:00:29   orjson ...+00:00, 29 seconds after the instant
#   +23:59:45   orjson ...+23:60
#   +05:30      exact (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check orjson==3.13.0 msgspec==0.22.0

"$work/venv/bin/python" - <<'PY'
import json
import sys
from datetime import datetime, timedelta, timezone

import msgspec
import orjson


def at(**offset):
    return datetime(1900, 1, 1, tzinfo=timezone(timedelta(**offset)))


def there_and_back(encode, instant):
    text = json.loads(encode(instant))
    try:
        moved = (datetime.fromisoformat(text) - instant).total_seconds()
    except ValueError:
        moved = "unreadable"
    return text[len("1900-01-01T00:00:00"):], moved


amsterdam = at(minutes=19, seconds=32)
changed = False
for name, encode, instant, expected in (
    ("orjson +00:19:32", orjson.dumps, amsterdam, ("+00:20", -28)),
    ("msgspec +00:19:32", msgspec.json.encode, amsterdam, ("+00:20", -28)),
    ("isoformat +00:19:32", lambda d: json.dumps(d.isoformat()), amsterdam, ("+00:19:32", 0)),
    ("orjson +00:00:29", orjson.dumps, at(seconds=29), ("+00:00", 29)),
    ("orjson +23:59:45", orjson.dumps, at(hours=23, minutes=59, seconds=45), ("+23:60", "unreadable")),
    ("orjson +05:30", orjson.dumps, at(hours=5, minutes=30), ("+05:30", 0)),
):
    seen = there_and_back(encode, instant)
    if seen != expected:
        changed = True
        print(f"changed: {name}: (offset, seconds moved) was {expected}, is {seen}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: orjson and msgspec round an offset's seconds, and with it move the instant")
PY
