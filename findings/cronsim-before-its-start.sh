#!/usr/bin/env bash
# cronsim 2.8 from PyPI, with zoneinfo of Python 3.11 or newer and tzdata 2026.6.
#
# A good guess: what comes next after a moment is later than that moment, and "* 2 * * *" names every minute whose
# clock reads two, wherever clocks are set back.
#
# Instead, asked in the hour that comes twice (Europe/Berlin, 25 October 2026, 02:10 for the second time), the first
# moment that "30 2 * * *" gives is 02:30 of the first time: 40 minutes before the one asked for. And where clocks
# go back by half an hour only (Australia/Lord_Howe, 5 April 2026, from 02:00 to 01:30), "* 2 * * *" begins that
# night with 02:30: the minutes from 02:00 to 02:29, which come once, are left out.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 tzdata==2026.6

cat >"$work/next.py" <<'PY'
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")

changed = []
asked = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=BERLIN)
found = next(CronSim("30 2 * * *", asked))
ahead = found.astimezone(UTC) - asked.astimezone(UTC)
if ahead != timedelta(minutes=-40):
    changed.append(f"Berlin: {found.isoformat()}, {ahead} after the moment asked for")
once = [datetime(2026, 4, 5, 2, minute, tzinfo=LORD_HOWE) for minute in range(30)]
if any(one.utcoffset() != one.replace(fold=1).utcoffset() for one in once):
    changed.append("Lord Howe: 02:00 to 02:29 do not come once")
first = next(CronSim("* 2 * * *", datetime(2026, 4, 5, tzinfo=LORD_HOWE)))
if (first.hour, first.minute) != (2, 30):
    changed.append(f"Lord Howe: {first.isoformat()}")
if changed:
    sys.exit("changed: " + "; ".join(changed))
print("holds: 40 minutes before the moment asked for; half an hour that comes once is left out")
PY
"$work/venv/bin/python" "$work/next.py"
