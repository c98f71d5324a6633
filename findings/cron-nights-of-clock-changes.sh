#!/usr/bin/env bash
# croniter 7.0.0, cronsim 2.8, APScheduler 3.11.3 and cron-converter 2.0.2 from PyPI; github.com/robfig/cron v3.0.1
# (which Kubernetes' CronJobs count with) as a Go module.
#
# A good guess: whoever understands "30 2 * * *" and takes a time zone agrees on when that is, in the two nights in
# which clocks change as well; "0 * * * *" is every 3,600 seconds in all of them.
#
# Instead the five agree on neither night. Europe/Berlin, 2026: on 29 March 02:30 does not exist, on 25 October it
# comes twice.
#   "30 2 * * *"    29 March                      25 October
#   robfig/cron     left out                      twice
#   croniter        at 03:00+02:00                twice
#   cronsim         at 03:00+02:00                once, at the first
#   APScheduler     at 02:30+01:00 (= 03:30)      twice
#   cron-converter  at 02:30+01:00 (= 03:30)      once, at the first
#
# And cron-converter's hours are not hours: on 29 March it names one instant twice in a row (02:00+01:00 and
# 03:00+02:00), on 25 October two hours lie between two of its hours. The other four are evenly spaced.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  croniter==7.0.0 cronsim==2.8 APScheduler==3.11.3 cron-converter==2.0.2 tzdata==2026.6

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require github.com/robfig/cron/v3 v3.0.1
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

func main() {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	begin, err := time.Parse(time.RFC3339, os.Args[2])
	if err != nil {
		panic(err)
	}
	schedule, err := cron.ParseStandard(os.Args[1])
	if err != nil {
		panic(err)
	}
	next := begin.In(zone)
	for range 4 {
		next = schedule.Next(next)
		fmt.Println(next.Format(time.RFC3339))
	}
}
GO
(cd "$work/go" && go mod tidy >/dev/null 2>&1 && go build -o ../robfig .)

cat >"$work/nights.py" <<'PY'
import subprocess
import sys
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from cron_converter import Cron
from croniter import croniter
from cronsim import CronSim

BERLIN = ZoneInfo("Europe/Berlin")


def by_robfig(expression, begin):
    command = [sys.argv[1], expression, begin.isoformat()]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()


def by_croniter(expression, begin):
    return [moment.isoformat() for moment in islice(croniter(expression, begin, datetime), 4)]


def by_cronsim(expression, begin):
    return [moment.isoformat() for moment in islice(CronSim(expression, begin), 4)]


def by_apscheduler(expression, begin):
    trigger, found, last = CronTrigger.from_crontab(expression, timezone=BERLIN), [], None
    for _ in range(4):
        last = trigger.get_next_fire_time(last, last or begin)
        found.append(last.isoformat())
    return found


def by_converter(expression, begin):
    schedule = Cron(expression).schedule(begin)
    return [schedule.next().isoformat() for _ in range(4)]


def gaps(moments):
    instants = [datetime.fromisoformat(moment).timestamp() for moment in moments]
    return [int(after - before) for before, after in zip(instants, instants[1:])]


def on(day, moments):
    return [moment[11:22] for moment in moments if moment.startswith(day)]


DAILY = {
    by_robfig: ([], ["02:30:00+02", "02:30:00+01"]),
    by_croniter: (["03:00:00+02"], ["02:30:00+02", "02:30:00+01"]),
    by_cronsim: (["03:00:00+02"], ["02:30:00+02"]),
    by_apscheduler: (["02:30:00+01"], ["02:30:00+02", "02:30:00+01"]),
    by_converter: (["02:30:00+01"], ["02:30:00+02"]),
}
EVEN = [3600, 3600, 3600]
HOURLY = dict.fromkeys(DAILY, (EVEN, EVEN)) | {by_converter: ([3600, 0, 3600], [3600, 7200, 3600])}

spring, autumn = "2026-03-29", "2026-10-25"
changed = []
for name, expected in DAILY.items():
    seen = (
        on(spring, name("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=BERLIN))),
        on(autumn, name("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN))),
    )
    if seen != expected:
        changed.append(f"{name.__name__}, daily: {seen}")
for name, expected in HOURLY.items():
    seen = (
        gaps(name("0 * * * *", datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN))),
        gaps(name("0 * * * *", datetime(2026, 10, 25, 0, 30, tzinfo=BERLIN))),
    )
    if seen != expected:
        changed.append(f"{name.__name__}, hourly: {seen}")
if changed:
    sys.exit("changed: " + "; ".join(changed))
print("holds: 02:30 is left out, moved or kept in spring, and comes once or twice in autumn")
PY
"$work/venv/bin/python" "$work/nights.py" "$work/robfig"
