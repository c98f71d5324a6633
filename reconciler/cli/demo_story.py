"""The demo's story: what a small federation lives through, told and checked step by step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.options import RunOptions
from reconciler.cli.console import Console, styled
from reconciler.cli.seats import seats_lines, votes_in
from reconciler.cluster.connect import Connector
from reconciler.failover.survivability import assess_survivability
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import Action, Plan, RunResult
from reconciler.report.survivability import render_survivability_text
from reconciler.report.text import render_plan, render_result
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.run.repository import validate_repository
from reconciler.seats.access import open_register
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register
from reconciler.state.memory import Phase
from reconciler.status.seats import seats_status

_SETTLING_SECONDS = 0.2
"""How long the simulated Pods take to become ready, and a little more."""
_REMOVED = Path("shop/worker/reports.yaml")
_PLACES = {
    "aws-eu": ("aws", "eu-central-1"),
    "gcp-eu": ("gcp", "europe-west1"),
    "gcp-us": ("gcp", "us-central1"),
}


class DemoFailed(Exception):
    """A step did not end as it must."""


class Story:
    """Three simulated clusters and a copy of the sample repository; ``tell`` runs the steps."""

    def __init__(self, repository: Path, console: Console) -> None:
        self._repository = repository
        _retry_at_once(repository / "federation.yaml")
        self._console = console
        self._sandbox = Sandbox(
            list(_PLACES),
            settings={
                name: ClusterSettings(provider=provider, region=region)
                for name, (provider, region) in _PLACES.items()
            },
        )
        self._chapter = 0
        self._now = time.time()

    def __enter__(self) -> Self:
        self._sandbox.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sandbox.__exit__(kind, error, trace)

    def tell(self) -> None:
        """All chapters. Raises DemoFailed at the first that does not end as told."""
        for chapter in (
            self._plan_first,
            self._apply,
            self._nothing_to_do,
            self._tampering,
            self._pruning,
            self._what_if,
            self._outage,
            self._return,
            self._seats,
            self._host_lost,
            self._host_anew,
        ):
            chapter()

    # -- chapters --------------------------------------------------------------------------

    def _plan_first(self) -> None:
        self._title("Three empty clusters, and a repository: what would happen?")
        self._say("$ reconcile --plan")
        plan = self._plan().plan
        self._show(render_plan(plan, colour=self._console.stdout_colour, width=self._width()))
        self._check(plan.summary()["create"] > 50, "the plan creates the shop")
        self._check(not plan.has_failures, "every API server accepts every manifest")
        self._check(not any(self._writes(name) for name in _PLACES), "a plan writes nothing")

    def _apply(self) -> None:
        self._title("Make it so")
        self._say("$ reconcile --yes")
        result = apply_plan(self._plan())
        self._show(render_result(result, colour=self._console.stdout_colour, with_plan=False))
        self._check(result.ok, "everything was applied")

    def _nothing_to_do(self) -> None:
        self._title("Run again: nothing to do, and hardly a request")
        before = {name: len(self._cluster(name).requests) for name in _PLACES}
        plan = self._plan().plan
        asked = {name: len(self._cluster(name).requests) - before[name] for name in _PLACES}
        self._show_plan(plan)
        self._check(not plan.has_changes, "nothing changes")
        text = ", ".join(f"{name} {count}" for name, count in asked.items())
        self._say(f"Requests: {text}: the inventory and one LIST per kind, none per object.")

    def _tampering(self) -> None:
        self._title("Somebody changes an image on AWS by hand, and deletes a ConfigMap on Google")
        self._cluster("aws-eu").edit(
            "Deployment", "catalog", _with_image("registry.invalid/miner:1"), namespace="shop"
        )
        self._cluster("gcp-eu").delete("ConfigMap", "shop-settings", namespace="shop")
        prepared = self._plan()
        self._show_plan(prepared.plan)
        self._check(_count(prepared.plan, Action.UPDATE) == 1, "the image is found")
        self._check(_count(prepared.plan, Action.CREATE) == 1, "the ConfigMap is missed")
        self._check(apply_plan(prepared).ok, "both are repaired")
        self._check(not self._plan().plan.has_changes, "all is as Git says again")
        self._say("Repaired.")

    def _pruning(self) -> None:
        self._title(f"{_REMOVED} is removed from Git")
        (self._repository / _REMOVED).unlink()
        prepared = self._plan()
        self._show_plan(prepared.plan)
        self._check(_count(prepared.plan, Action.PRUNE) > 0, "the report job is pruned")
        self._check(apply_plan(prepared).ok, "it is gone")

    def _what_if(self) -> None:
        self._title("What if the region of the AWS cluster went down?")
        self._say("$ reconcile --plan --simulate-outage region=eu-central-1")
        plan = make_plan(self._options(("region=eu-central-1",))).plan
        self._show_plan(plan)
        self._check(_carried(plan), "Google carries what AWS did")
        self._say("A plan only: nothing was touched. Every outage, workload by workload:")
        self._say("$ reconcile survivability")
        matrix = assess_survivability(validate_repository(self._options()).state)
        self._show(
            render_survivability_text(
                matrix, colour=self._console.stdout_colour, width=self._width()
            )
        )

    def _outage(self) -> None:
        self._title("The AWS cluster does go down: a run each minute")
        self._cluster("aws-eu").stop()
        for minute in range(1, 5):
            self._now += 60
            result = apply_plan(self._plan())
            (health,) = [one for one in result.plan.health if one.cluster == "aws-eu"]
            outcome = health.outlook or f"counts as down; {_done(result)} elsewhere"
            self._say(f"minute {minute}: aws-eu does not answer ({health.reason}); {outcome}")
        self._show_plan_of(result)
        self._check(_carried(result.plan), "Google carries what AWS did")
        self._check(not self._plan().plan.has_changes, "nothing moves twice")

    def _return(self) -> None:
        self._title("It is back: it takes over first, and only then the others give up")
        self._cluster("aws-eu").start()
        for minute in range(1, 15):
            self._now += 60
            result = apply_plan(self._plan())
            time.sleep(_SETTLING_SECONDS)
            (health,) = [one for one in result.plan.health if one.cluster == "aws-eu"]
            self._say(f"minute {minute}: aws-eu is {health.phase}; {_done(result)}")
            if health.phase == Phase.UP and not result.outcomes:
                break
        self._check(health.phase == Phase.UP, "the cluster is back")
        self._check(not self._plan().plan.has_changes, "all is as it was before the outage")

    def _seats(self) -> None:
        self._title("What if the cluster that runs the reconciler is the one that goes down?")
        self._say(f"Git: spec.seats: [{', '.join(_PLACES)}]. Each of them runs it from now on, and")
        self._say("keeps a copy of lock and memory; two of three are enough.")
        self._say("$ reconcile seats init")
        federation = self._repository / "federation.yaml"
        text = federation.read_text(encoding="utf-8")
        seats = f"spec:\n  seats: [{', '.join(_PLACES)}]\n"
        federation.write_text(text.replace("spec:\n", seats, 1), encoding="utf-8")
        memory = orjson.loads((self._repository.parent / "memory.json").read_bytes())
        self._register().initialise(tuple(_PLACES), RegisterDocument(memory=memory))
        for seat in _PLACES:
            self._now += 60
            result = self._run_at(seat)
            self._say(f"a run at {seat}: {_done(result)}")
            self._check(result.ok and not result.outcomes, "nothing changes because of it")

    def _host_lost(self) -> None:
        self._title("aws-eu goes down, and with it one of the three reconcilers")
        self._cluster("aws-eu").stop()
        others = [name for name in _PLACES if name != "aws-eu"]
        for minute in range(1, 10):
            self._now += 60
            seat = list(_PLACES)[(minute - 1) % len(_PLACES)]
            if seat not in others:
                self._say(f"minute {minute}: it would be the turn of {seat}")
                continue
            result = self._run_at(seat)
            (health,) = [one for one in result.plan.health if one.cluster == "aws-eu"]
            outcome = health.outlook or f"counts as down; {_done(result)} elsewhere"
            self._say(f"minute {minute}, at {seat}: aws-eu does not answer; {outcome}")
            if health.phase == Phase.DOWN:
                break
        self._check(health.phase == Phase.DOWN, "two of three seats decide that it is down")
        self._check(bool(_done_ones(result)) and _carried(result.plan), "they carry what AWS did")
        self._show_seats()
        self._check(self._states() == ["unreachable", "counts", "counts"], "one seat is missed")

    def _host_anew(self) -> None:
        self._title("It comes back without its copy: it has no vote until the others wrote it one")
        name = self._register().key
        self._cluster("aws-eu").start()
        self._cluster("aws-eu").delete("ConfigMap", name.name, namespace=name.namespace)
        self._check(self._states()[0] == "lost", "a seat that has forgotten does not vote")
        for minute in range(1, 15):
            self._now += 60
            seat = list(_PLACES)[minute % len(_PLACES)]
            result = self._run_at(seat)
            time.sleep(_SETTLING_SECONDS)
            (health,) = [one for one in result.plan.health if one.cluster == "aws-eu"]
            self._say(f"minute {minute}, at {seat}: aws-eu is {health.phase}; {_done(result)}")
            if health.phase == Phase.UP and not result.outcomes:
                break
        self._check(health.phase == Phase.UP, "the cluster is back")
        self._show_seats()
        self._check(self._states() == ["counts"] * len(_PLACES), "all seats count again")

    # -- telling ---------------------------------------------------------------------------

    def _title(self, text: str) -> None:
        self._chapter += 1
        self._console.out("")
        self._console.out(styled(f"{self._chapter}. {text}", fg="cyan", bold=True))

    def _say(self, text: str) -> None:
        self._console.out(styled(text, dim=True))

    def _show(self, text: str) -> None:
        self._console.document(text.rstrip("\n"))

    def _show_plan(self, plan: Plan) -> None:
        self._show(render_plan(plan, colour=self._console.stdout_colour, width=self._width()))

    def _show_plan_of(self, result: RunResult) -> None:
        text = render_result(result, colour=self._console.stdout_colour, width=self._width())
        self._show(text)

    def _width(self) -> int:
        return self._console.width

    def _check(self, fact: bool, what: str) -> None:
        if not fact:
            raise DemoFailed(f"it is not so that {what}")

    # -- doing -----------------------------------------------------------------------------

    def _options(self, outages: tuple[str, ...] = ()) -> RunOptions:
        return RunOptions(
            repo=str(self._repository),
            kubeconfig=str(self._sandbox.kubeconfig),
            simulate_outages=outages,
            state=str(self._repository.parent / "memory.json"),
            clock=lambda: self._now,
        )

    def _run_at(self, seat: str) -> RunResult:
        """A run under the lock, as the CronJob of a seat makes it."""
        options = RunOptions(
            repo=str(self._repository),
            kubeconfig=str(self._sandbox.kubeconfig),
            host_context=seat,
            seat=seat,
            plan_only=False,
            clock=lambda: self._now,
        )
        with RunLock(options) as lock:
            return apply_plan(make_plan(options, None, lock))

    def _register(self) -> Register:
        """The register as somebody at a desk reaches it."""
        federation = validate_repository(self._options()).state.federation
        connector = Connector.from_file(str(self._sandbox.kubeconfig), federation.namespace)
        return open_register(connector, federation, federation.namespace).register

    def _states(self) -> list[str]:
        seats = self._register().read().seats
        return [seats[name].state for name in _PLACES]

    def _show_seats(self) -> None:
        self._say("$ reconcile seats")
        register = self._register()
        reading = register.read()
        now = time.time()
        status = seats_status("shop", tuple(_PLACES), reading, votes_in(reading), now)
        for line in seats_lines(status, now):
            self._console.out(line)

    def _plan(self) -> Prepared:
        return make_plan(self._options())

    def _cluster(self, name: str) -> SimulatedCluster:
        return self._sandbox.cluster(name)

    def _writes(self, name: str) -> int:
        return sum(
            request.method != "GET" and "dryRun" not in request.query
            for request in self._cluster(name).requests
        )


def _count(plan: Plan, action: Action) -> int:
    return plan.summary()[action]


def _carried(plan: Plan) -> bool:
    """Whether the workloads that are shared out run as many replicas as before, elsewhere."""
    shared = ("catalog", "cart", "payments-api")
    rows = [row for row in plan.workloads if row.key.name in shared]
    return len(rows) == len(shared) and all(
        sum(row.after.values()) == sum(row.before.values()) for row in rows
    )


def _done_ones(result: RunResult) -> int:
    return sum(outcome.status == "done" for outcome in result.outcomes)


def _done(result: RunResult) -> str:
    done = _done_ones(result)
    return f"{done} objects were changed" if done != 1 else "1 object was changed"


def _retry_at_once(federation: Path) -> None:
    """What refuses connections in the demo does so at once; pauses would only cost time."""
    text = federation.read_text(encoding="utf-8")
    federation.write_text(text.replace("interval: 1s", "interval: 10ms"), encoding="utf-8")


def _with_image(image: str) -> Callable[[dict[str, object]], None]:
    def change(obj: dict[str, object]) -> None:
        spec = obj["spec"]
        if isinstance(spec, dict):
            spec["template"]["spec"]["containers"][0]["image"] = image

    return change
