"""A plan and a run in which every text tries to break out of a report."""

from __future__ import annotations

from reconciler.api.errors import RunError, TextViolation
from reconciler.api.moves import KeptUntilReady
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import remark
from reconciler.failover.cluster_health import Absence
from reconciler.plan.model import (
    Action,
    AddedTo,
    Addition,
    Change,
    ClusterPlan,
    FieldChange,
    Outcome,
    Plan,
    PruneHold,
    RunResult,
    WorkloadRow,
)

HOSTILE = (
    "```\n~~~\n</details></summary><script>window.pwned=1</script><img src=x onerror=pwned()>"
    "| [x](http://evil.example) @everyone #12 https://evil.example --> ]]> \x1b[2J\u202e`<!--"
    "\n/close\n{{ 7*7 }}&lt;b&gt;\\| \"><svg onload=alert(1)> '"
)
"""Everything at once that might break out of a report."""


def hostile() -> Plan:
    """Every text in the plan is hostile."""
    key = ObjectKey("", "ConfigMap", HOSTILE, HOSTILE)
    added = (Addition(HOSTILE, HOSTILE, (HOSTILE,), HOSTILE),)
    fields = (
        FieldChange(HOSTILE, HOSTILE, "plain", (HOSTILE,)),
        FieldChange("data.lines", f"one\n{HOSTILE}\ntwo", "one\ntwo"),
    )
    changes = tuple(
        Change(action, key, "v1", fields, reasons=(remark(HOSTILE),), error=HOSTILE, origin=HOSTILE)
        for action in Action
        if action is not Action.UNCHANGED
    )
    return Plan(
        HOSTILE,
        (
            ClusterPlan(
                *(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
                changes=changes,
                prune_hold=PruneHold(refused=HOSTILE),
                additions=(AddedTo(key, "v1", added),),
            ),
            ClusterPlan(HOSTILE + "2", reachable=False, absence=Absence(HOSTILE)),
        ),
        commit=HOSTILE,
        notices=(notice(NoticeCause.KEPT, HOSTILE, HOSTILE, why=HOSTILE, reason=HOSTILE),),
        violations=(TextViolation(text=HOSTILE),),
        violation_hint=HOSTILE,
        workloads=(WorkloadRow(key, {HOSTILE: 1}, {HOSTILE: 2}, shortfall=1, placed_by=HOSTILE),),
        moves=(KeptUntilReady(HOSTILE, (key,), HOSTILE, HOSTILE),),
        dns=({"name": HOSTILE, "type": "A", "from": [HOSTILE], "to": None, "reason": HOSTILE},),
        simulated_outages=(HOSTILE,),
    )


def run_of_hostile() -> RunResult:
    plan = hostile()
    change = plan.clusters[0].changes[0]
    outcome = Outcome(HOSTILE, change.action, change.key, "failed", HOSTILE)
    return RunResult(
        plan,
        (outcome,),
        errors=(RunError(HOSTILE, HOSTILE),),
        stopped=HOSTILE,
        requests={HOSTILE: 1},
    )
