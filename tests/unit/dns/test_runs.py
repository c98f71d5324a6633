"""Whole runs with records: simulated clusters, a real BIND, and the pipeline as a user calls it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import StalePlan
from reconciler.api.options import RunOptions
from reconciler.report.finished_run import FailureKind, failures_of_result
from reconciler.report.json_report import result_document
from reconciler.report.markdown import render_result_markdown
from reconciler.report.text import render_result
from reconciler.run.pipeline import apply_plan
from reconciler.run.progress import NoProgress
from reconciler.saved_plans.file import check_fresh, read_plan, save_plan
from tests.controlplane.process import eventually
from tests.scenarios.failover_world import FEDERATION, NAMES, WEB, FailoverWorld
from tests.unit.dns.fleets import endpoint_slice
from tests.unit.dns.named import CREDENTIALS, ZONE, Named, federation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

NAME = f"web.shop.{ZONE}"
SERVICE = """
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/dns: "true"}
spec: {type: LoadBalancer, ports: [{port: 443}], selector: {app: web}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: service}
spec: {select: [{kind: Service}], clusters: [aws-eu, gcp-eu, gcp-us]}
"""


class DnsWorld(FailoverWorld):
    """``addresses`` are those that the clusters gave to the Service; ``rules`` the Federation."""

    rules = ""

    def begin_with(self, named: Named) -> None:
        rules = federation(named.port).partition("spec:\n")[2].partition("---")[0]
        # The failover rules last, for tests that add to them.
        head, spec, failover = FEDERATION.partition("spec:\n")
        self.rules = head + spec + rules + failover
        self.begin(WEB + SERVICE, self.rules)
        for name in NAMES:
            slice_ = {**endpoint_slice("web"), "addressType": "IPv4"}
            self.hosts[name].create(slice_)  # type: ignore[attr-defined]
        eventually(lambda: all(self.address(name) for name in NAMES), "load balancers")
        assert self.run().ok

    def address(self, cluster: str) -> str:
        live = self.hosts[cluster].get("Service", "web", "shop")  # type: ignore[attr-defined]
        points = (live.get("status") or {}).get("loadBalancer", {}).get("ingress") or [{}]
        return str(points[0].get("ip", ""))

    def addresses(self, *clusters: str) -> list[str]:
        return sorted(self.address(name) for name in clusters)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def world(repository: Path, named: Named, monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsWorld]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        world = DnsWorld(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin_with(named)
        yield world


def test_a_run_tells_how_many_records_it_wrote(world: DnsWorld, named: Named) -> None:
    assert named.answer(NAME) == world.addresses(*NAMES)
    named.somebody_deletes(NAME, "A")
    text = render_result(world.apply())
    assert "\nPlan: 1 DNS record to change; 9 objects over 3 clusters as Git says.\n" in text
    assert text.endswith("\nDone: 1 DNS record written.\n")
    assert named.answer(NAME) == world.addresses(*NAMES)
    assert "\nNo changes over 3 clusters" in f"\n{render_result(world.apply())}"


def test_names_leave_what_is_down_before_anything_else_is_written(
    world: DnsWorld, named: Named
) -> None:
    world.hosts["aws-eu"].stop()
    for _ in range(3):
        world.run()
        assert len(named.answer(NAME)) == 3, "within the grace period nothing is withdrawn"
    world.now += 60
    asked: list[list[str]] = []

    class Watching(NoProgress):
        def advance(self, name: str, n: int = 1) -> None:
            asked.append(named.answer(NAME))

    assert apply_plan(world.prepare(), Watching()).records
    assert asked
    assert all(answer == world.addresses("gcp-eu", "gcp-us") for answer in asked)


def test_a_name_leaves_a_cluster_before_its_service_is_pruned(
    world: DnsWorld, named: Named
) -> None:
    world.write("web.yaml", WEB + SERVICE.replace("[aws-eu, gcp-eu, gcp-us]", "[gcp-eu, gcp-us]"))
    before = world.address("aws-eu")
    asked: list[list[str]] = []

    class Watching(NoProgress):
        def advance(self, name: str, n: int = 1) -> None:
            asked.append(named.answer(NAME))

    assert apply_plan(world.prepare(), Watching()).ok
    assert not world.exists("service", "web", cluster="aws-eu")
    assert asked
    assert not any(before in answer for answer in asked)


def test_a_name_goes_to_what_stands_in_for_a_region_and_back(world: DnsWorld, named: Named) -> None:
    """The Service runs in one region only: another is asked for its address once it has one."""
    spread = "clusterSelector: {}, spread: [{by: region, maxGroups: 1}]"
    everywhere = "clusters: [aws-eu, gcp-eu, gcp-us]"
    divided = "replicas: {mode: Divided}"
    world.write(
        "web.yaml",
        WEB.replace(divided, "spread: [{by: region, maxGroups: 1}]")
        + SERVICE.replace(everywhere, spread),
    )

    def there() -> list[str]:
        return [n for n in NAMES if world.exists("service", "web", cluster=n)]

    for _ in range(3):
        world.run()
    (home,) = there()
    at_home = world.address(home)
    assert named.answer(NAME) == [at_home]
    world.hosts[home].stop()
    for _ in range(4):
        world.run()
    (stand_in,) = [n for n in NAMES if n != home and world.exists("service", "web", cluster=n)]
    eventually(lambda: world.address(stand_in), "a load balancer")
    instead = world.address(stand_in)
    world.run()
    assert named.answer(NAME) == [instead]
    world.hosts[home].start()
    for _ in range(8):
        world.run()
        assert set(named.answer(NAME)) & {at_home, instead}, "one of them always answers"
    assert there() == [home]
    assert named.answer(NAME) == [at_home]


def test_a_name_comes_back_when_the_returned_cluster_carries_its_share(
    world: DnsWorld, named: Named
) -> None:
    world.write("federation.yaml", world.rules + "    failback: {maxMovesPerRun: 1}\n")
    world.hosts["aws-eu"].stop()
    for _ in range(4):
        world.run()
    assert named.answer(NAME) == world.addresses("gcp-eu", "gcp-us")
    world.hosts["aws-eu"].start()
    # What it ran is gone, as after a rebuilt cluster.
    world.kubectl("scale", "deployment/web", "-n", "shop", "--replicas=0", cluster="aws-eu")
    world.until_ready()
    seen = []
    for _ in range(9):
        ready_before = world.ready("aws-eu")
        world.run()
        seen.append((ready_before, world.address("aws-eu") in named.answer(NAME)))
    assert (1, False) in seen, "a part of its replicas is not enough"
    assert seen[-1] == (2, True)


@pytest.mark.parametrize("when", ["before the plan", "before the write"])
def test_a_run_whose_dns_fails_still_does_the_rest_and_says_so(
    world: DnsWorld, named: Named, when: str
) -> None:
    named.somebody_deletes(NAME, "A")
    world.write("web.yaml", (WEB + SERVICE).replace("replicas: 6", "replicas: 9"))
    if when == "before the plan":
        named.stop()
    prepared = world.prepare()
    named.stop()
    result = apply_plan(prepared)
    assert world.counts() == dict.fromkeys(NAMES, 3)
    assert not result.ok
    assert [one.kind for one in failures_of_result(result)] == [FailureKind.DNS]
    for text in (render_result(result), render_result_markdown(result)):
        assert "refused" in text.lower()
        assert "3 updated" in text
    document = result_document(result)
    assert document["dnsErrors"] or [r["status"] for r in document["records"]] == ["failed"]
    named.start()
    assert world.run().ok
    assert named.answer(NAME) == world.addresses(*NAMES)


def test_a_saved_plan_writes_its_records_unless_somebody_else_did(
    world: DnsWorld, named: Named, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    options = RunOptions(**{"repo": str(world.repository), **world.options})

    def apply() -> None:
        prepared = world.prepare(plan_only=False)
        check_fresh(read_plan(file), prepared, options)
        assert apply_plan(prepared).ok

    named.somebody_deletes(NAME, "A")
    save_plan(file, world.prepare(), options)
    named.somebody_writes(NAME, "A", "192.0.2.9")
    with pytest.raises(StalePlan) as caught:
        apply()
    assert any(text.startswith("DNS, ") for text in caught.value.differences)
    assert named.answer(NAME) == ["192.0.2.9"]

    named.somebody_deletes(NAME, "A")
    named.stop()
    with pytest.raises(StalePlan) as caught:
        apply()
    reason, *records = caught.value.differences
    assert "refused" in reason.lower()
    assert records == [
        f"DNS, no longer to be written: {NAME} A: {', '.join(world.addresses(*NAMES))}"
    ]

    named.start()
    apply()
    assert named.answer(NAME) == world.addresses(*NAMES)


def test_what_a_name_still_points_to_stays_until_the_name_has_left_it(
    world: DnsWorld, named: Named
) -> None:
    world.write("web.yaml", (WEB + SERVICE).replace("aws-eu, gcp-eu, gcp-us", "gcp-eu, gcp-us"))
    prepared = world.prepare()
    named.stop()
    result = apply_plan(prepared)
    assert not result.ok
    assert world.exists("service", "web", cluster="aws-eu")
    (kept,) = [o for o in result.outcomes if o.key.kind == "Service"]
    assert "pruning waits: DNS" in kept.message
    named.start()
    assert world.run().ok
    assert not world.exists("service", "web", cluster="aws-eu")
    assert named.answer(NAME) == world.addresses("gcp-eu", "gcp-us")


@pytest.mark.parametrize("code", [400, 422])
def test_a_stand_in_that_a_webhook_refuses_holds_up_neither_names_nor_others(
    world: DnsWorld, named: Named, code: int
) -> None:
    spread = "spread: [{by: cluster, maxGroups: 1}]\n" + (
        "  affinity: {preferred: [{weight: 9, selector: {matchLabels: "
        "{topology.kubernetes.io/region: eu-central-1}}}]}"
    )
    lone = WEB.partition("---")[2].replace("name: web", "name: lone")
    lone = lone.replace("replicas: {mode: Divided}", spread)
    world.write("lone.yaml", lone)
    assert world.run().ok
    assert world.exists("deployment", "lone", cluster="aws-eu")
    foreseen = world.plan(simulate_outages=("cluster=aws-eu",))
    (stand_in,) = [c.name for c in foreseen.clusters for x in c.changes if x.key.name == "lone"]
    faults = world.hosts[stand_in].faults  # type: ignore[attr-defined]
    faults.deny("not here", code=code, path="/deployments/lone")
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        result = world.run()
    assert not result.plan.violations
    refused = [(o.key.name, o.status) for o in result.outcomes if o.status != "done"]
    failed = [c.key.name for cl in result.plan.clusters for c in cl.changes if c.error]
    assert failed == ["lone"], refused
    assert not result.ok
    assert str(world.memory().clusters["aws-eu"].phase) == "Down"
    assert sum(world.counts("gcp-eu", "gcp-us").values()) == 6
    assert named.answer(NAME) == world.addresses("gcp-eu", "gcp-us")
