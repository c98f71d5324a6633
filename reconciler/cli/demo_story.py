"""The demo's story: what a small federation lives through, told and checked step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from reconciler.cli.console import Console
from reconciler.pipeline import Options, Prepared, apply_plan, make_plan
from reconciler.planning.plan import Action, Plan
from reconciler.reporting.text import render_plan, render_result
from reconciler.sandbox import ClusterSettings, Sandbox, SimulatedCluster

_REMOVED = Path("shop/worker/reports.yaml")
_PLACES = {
    "aws-eu": ("aws", "eu-central-1"),
    "gcp-eu": ("gcp", "europe-west1"),
    "gcp-us": ("gcp", "us-central1"),
}


class StoryWentWrong(Exception):
    """A step did not end as it must."""


class Story:
    """Three simulated clusters and a copy of the sample repository; ``tell`` runs the steps."""

    def __init__(self, repository: Path, console: Console) -> None:
        self._repository = repository
        self._console = console
        self._sandbox = Sandbox(
            list(_PLACES),
            settings={
                name: ClusterSettings(provider=provider, region=region)
                for name, (provider, region) in _PLACES.items()
            },
        )
        self._chapter = 0

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
        """All chapters. Raises StoryWentWrong at the first that does not end as told."""
        for chapter in (
            self._plan_first,
            self._apply,
            self._nothing_to_do,
            self._tampering,
            self._pruning,
            self._outage,
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

    def _outage(self) -> None:
        self._title("What if the region of the AWS cluster went down?")
        self._say("$ reconcile --plan --simulate-outage region=eu-central-1")
        plan = make_plan(self._options(("region=eu-central-1",))).plan
        self._show_plan(plan)
        carried = {
            row.key.name: sum(row.after.values()) == sum(row.before.values())
            for row in plan.workloads
        }
        shared = ("catalog", "cart", "payments-api", "worker")
        self._check(all(carried[name] for name in shared), "Google carries what AWS did")
        self._say("A plan only: nothing was touched.")

    # -- telling ---------------------------------------------------------------------------

    def _title(self, text: str) -> None:
        self._chapter += 1
        self._console.out("\n" + click.style(f"{self._chapter}. {text}", fg="cyan", bold=True))

    def _say(self, text: str) -> None:
        self._console.out(click.style(text, dim=True))

    def _show(self, text: str) -> None:
        self._console.out(text.rstrip("\n"))

    def _show_plan(self, plan: Plan) -> None:
        self._show(render_plan(plan, colour=self._console.stdout_colour, width=self._width()))

    def _width(self) -> int:
        return self._console.width

    def _check(self, fact: bool, what: str) -> None:
        if not fact:
            raise StoryWentWrong(f"it is not so that {what}")

    # -- doing -----------------------------------------------------------------------------

    def _options(self, outages: tuple[str, ...] = ()) -> Options:
        return Options(
            repo=str(self._repository),
            kubeconfig=str(self._sandbox.kubeconfig),
            simulate_outages=outages,
        )

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


def _with_image(image: str) -> Callable[[dict[str, object]], None]:
    def change(obj: dict[str, object]) -> None:
        spec = obj["spec"]
        if isinstance(spec, dict):
            spec["template"]["spec"]["containers"][0]["image"] = image

    return change
