"""A run as Prometheus metrics: in a file, at a Pushgateway, over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from reconciler.report.finished_run import FinishedRun, failures_of_result
from reconciler.report.metrics import LatestMetrics, metrics_of, push, render_metrics, write_file
from reconciler.shard.split import Shard
from reconciler.state.memory import Phase
from tests.unit.report.changes import CANARY
from tests.unit.report.fleets import run_of_web_shop
from tests.unit.report.hostile import run_of_hostile
from tests.unit.report.listener import listening
from tests.unit.report.runs import COMMIT, STARTED, plan, run

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (s.name.removeprefix("federation_reconciler_"), frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def measured(finished: FinishedRun) -> Samples:
    return samples(render_metrics(metrics_of(finished)).decode())


def value(found: Samples, metric: str, **labels: str) -> float:
    return found[(metric, frozenset({"federation": "shop", **labels}.items()))]


def web_shop() -> FinishedRun:
    result = run_of_web_shop()
    return run(result.plan, result=result, failures=failures_of_result(result))


def test_what_a_run_came_to_is_measured() -> None:
    found = measured(web_shop())
    assert value(found, "run_success") == 0
    assert value(found, "run_duration_seconds") == 2.5
    assert value(found, "run_finished_timestamp_seconds") == STARTED + 2.5
    assert value(found, "objects", cluster="aws-eu", action="unchanged") == 37
    assert value(found, "objects", cluster="aws-eu", action="create") == 2
    assert value(found, "drift_objects", cluster="gcp-us") == 1
    assert value(found, "prune_blocked", cluster="gcp-us") == 1
    assert value(found, "prune_blocked", cluster="aws-eu") == 0
    assert value(found, "shortfall_replicas") == 2
    assert (
        value(
            found,
            "workload_shortfall_replicas",
            kind="Deployment",
            namespace="shop",
            name="recommendations",
        )
        == 2
    )
    done = sum(v for (name, _), v in found.items() if name == "outcomes")
    assert done == len(run_of_web_shop().outcomes)


def test_failures_are_counted_by_their_sort() -> None:
    found = measured(run(None, "aws-eu"))
    assert value(found, "failures", kind="cluster") == 1
    assert value(found, "failures", kind="dns") == 0
    assert value(found, "cluster_up", cluster="aws-eu") == 0
    assert value(found, "cluster_failures", cluster="aws-eu") == 1
    # What it holds is not known, and certainly not nothing.
    assert not [key for key in found if key[0] == "objects"]


def test_the_state_of_failover_and_the_age_of_the_commit_are_there() -> None:
    found = measured(run(plan(aws_eu=Phase.DOWN)))
    assert value(found, "cluster_phase", cluster="aws-eu", phase="Down") == 1
    assert value(found, "cluster_phase", cluster="aws-eu", phase="Up") == 0
    assert value(found, "cluster_phase_since_timestamp_seconds", cluster="aws-eu") == STARTED - 600
    assert value(found, "cluster_ready_nodes", cluster="aws-eu") == 2
    assert value(found, "applied_commit_timestamp_seconds") == STARTED - 3600
    assert value(found, "commit_applied") == 1
    older = measured(run(applied_commit="0" * 40))
    assert value(older, "commit_applied") == 0


def test_every_metric_says_what_it_means() -> None:
    text = render_metrics(metrics_of(web_shop())).decode()
    families = list(text_string_to_metric_families(text))
    assert families
    for family in families:
        assert family.name.startswith("federation_reconciler_")
        assert family.documentation.endswith(".")
        assert family.type == "gauge"


@pytest.mark.parametrize("make", [run_of_web_shop, run_of_hostile])
def test_no_value_of_an_object_is_in_them(make: object) -> None:
    result = make()  # type: ignore[operator]
    text = render_metrics(metrics_of(run(result.plan, result=result))).decode()
    assert CANARY not in text
    assert samples(text)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "reconcile.prom"
    assert write_file(run(), file) == ""
    first = samples(file.read_text())
    assert write_file(run(None, "aws-eu"), file) == ""
    assert value(first, "run_success") == 1
    assert value(samples(file.read_text()), "run_success") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["reconcile.prom"]


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    said = write_file(run(), tmp_path / "nowhere" / "reconcile.prom")
    assert said.startswith("the metrics were not written to ")


def test_a_pushgateway_gets_a_group_for_each_federation_and_shard() -> None:
    with listening() as gateway:
        assert push(run(), gateway.url) == ""
        assert push(run(shard=Shard(1, 4, "round")), f"{gateway.url}/") == ""
        assert push(run(plan_only=True), gateway.url.removeprefix("http://")) == ""
    paths = [request.path for request in gateway.requests]
    assert paths == [
        "/metrics/job/federation-reconciler/federation/shop",
        "/metrics/job/federation-reconciler/federation/shop/shard@base64/MS80",
        "/metrics/job/federation-reconciler-plan/federation/shop",
    ]
    assert {request.method for request in gateway.requests} == {"PUT"}
    assert value(samples(gateway.requests[0].body.decode()), "run_success") == 1


def test_a_run_without_a_plan_leaves_what_is_known_of_the_clusters() -> None:
    with listening() as gateway:
        assert push(run(plan=None, result=None), gateway.url) == ""
    assert gateway.requests[0].method == "POST"


def test_a_pushgateway_that_refuses_is_a_warning_without_its_address() -> None:
    with listening() as gateway:
        gateway.answers[:] = [(400, {})]
        said = push(run(), gateway.url + "/secret")
    assert said == "the metrics were not pushed: the Pushgateway answers HTTP 400"
    assert push(run(), "http://[::1").startswith("the metrics were not pushed")


def test_over_http_what_only_a_plan_tells_stays() -> None:
    latest = LatestMetrics()
    assert latest.render() == b""
    latest.update(run())
    first = samples(latest.render().decode())
    assert value(first, "last_success_timestamp_seconds") == STARTED + 2.5
    failed = replace(run(None, "aws-eu"), plan=None, result=None, federation="")
    latest.update(failed)
    later = samples(latest.render().decode())
    assert value(later, "run_success") == 0
    assert value(later, "last_success_timestamp_seconds") == STARTED + 2.5
    assert value(later, "objects", cluster="aws-eu", action="unchanged") == 7
    assert COMMIT not in latest.render().decode()
