"""What a repository may say of quiet hours and pauses: each fault with its place and a way out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.maintenance import Maintenance, closed
from reconciler.federation.model import Window
from reconciler.manifests.load import load

FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  namespace: federation-system
  FEDERATION
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec:
  weight: 1
  CLUSTER
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: ConfigMap}]
  PLACEMENT
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
"""
NOON = 1_795_867_200.0  # Saturday, 2026-11-28 12:00 UTC


def read(**said: str) -> Compiled:
    text = FLEET
    for name in ("federation", "cluster", "placement"):
        text = text.replace(name.upper(), said.get(name, "{}").replace("{}", ""))
    manifests = load([SourceFile("a.yaml", text.encode())])
    if manifests.problems:
        return Compiled(None, manifests.problems)
    return compile_documents(manifests.documents)


def windows(*entries: str) -> str:
    return "maintenance: [" + ", ".join(f"{{{entry}}}" for entry in entries) + "]"


NIGHTS = 'kind: Allow, schedule: "0 2 * * *", timeZone: Europe/Berlin, duration: 3h'


def test_each_level_has_its_windows() -> None:
    found = read(
        federation=windows(NIGHTS),
        cluster=windows('kind: Deny, schedule: "0 0 1 * *", duration: 1d, failover: false'),
        placement=windows('kind: Allow, schedule: "30 2 * * 1-5", duration: 1h30m'),
    )
    assert found.state is not None, found.problems
    assert found.state.federation.maintenance == (
        Window("Allow", "0 2 * * *", 10_800.0, "Europe/Berlin"),
    )
    aws, gcp = found.state.clusters
    assert aws.maintenance == (Window("Deny", "0 0 1 * *", 86_400.0, "UTC", failover=False),)
    assert gcp.maintenance == ()
    (settings,) = found.state.workloads
    assert settings.rules.maintenance == (Window("Allow", "30 2 * * 1-5", 5_400.0),)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"cluster": windows('kind: Allow, schedule: "0 25 * * *", duration: 1h')},
            r"a.yaml:14:41: .*'0 25 \* \* \*' is no cron expression: bad hour.*minute, hour, day",
        ),
        (
            {"federation": windows('kind: Allow, schedule: "@daily", duration: 1h')},
            r"a.yaml:7:41: .*no cron expression of five fields",
        ),
        (
            {"placement": windows('kind: Allow, schedule: "0 0 2 * * *", duration: 1h')},
            r"a.yaml:26:41: .*no cron expression of five fields",
        ),
        (
            {"cluster": windows('kind: Allow, schedule: "TZ=UTC 2 * * *", duration: 1h')},
            r"bad minute.*the zone has a field of its own, timeZone",
        ),
        (
            {"cluster": windows('kind: Allow, schedule: "0 0 30 2 *", duration: 1h')},
            r"a.yaml:14:41: .*bad day-of-month",
        ),
        (
            {"cluster": windows('kind: Deny, schedule: "MON#1/2 * * * *", duration: 1h')},
            r"bad minute",
        ),
        (
            {"cluster": windows('kind: Deny, schedule: "0 0 * * MON#1/2", duration: 1h')},
            r"a.yaml:14:40: .*no cron expression",
        ),
        (
            {"cluster": windows(NIGHTS.replace("Berlin", "Berln"))},
            r"a.yaml:14:64: .*no time zone 'Europe/Berln'.*did you mean Europe/Berlin\?",
        ),
        (
            {"cluster": windows(NIGHTS.replace("Europe/Berlin", "Berlin"))},
            r"no time zone 'Berlin'.*did you mean Europe/Berlin\?",
        ),
        (
            {"cluster": windows(NIGHTS.replace("Europe/Berlin", "america/new york"))},
            r"did you mean America/New_York\?",
        ),
        ({"cluster": windows(NIGHTS.replace("Europe/Berlin", "../etc/passwd"))}, "no time zone"),
        ({"cluster": windows(NIGHTS.replace("Europe/Berlin", "Europe"))}, "no time zone 'Europe'"),
        ({"cluster": windows(NIGHTS.replace("Europe/Berlin", '""'))}, "no time zone ''"),
        ({"cluster": windows(NIGHTS.replace("Europe/Berlin", "localtime"))}, "no time zone"),
        (
            {"cluster": windows(NIGHTS.replace("3h", "0s"))},
            r"a.yaml:14:89: .*0s is shorter than a minute.*from 1m to 90d",
        ),
        ({"cluster": windows(NIGHTS.replace("3h", "90s"))}, "90s is no whole number of minutes"),
        ({"cluster": windows(NIGHTS.replace("3h", "91d"))}, "91d is longer than 90 days.*paused"),
        ({"cluster": windows(NIGHTS.replace("3h", "three hours"))}, r"a.yaml:14:89: "),
        ({"cluster": windows(NIGHTS.replace("Allow", "allow"))}, "did you mean Allow"),
        ({"cluster": windows("kind: Allow, duration: 1h")}, "schedule"),
        ({"cluster": 'paused: "yes"'}, r"a.yaml:14:11: "),
        (
            {"cluster": windows('kind: Deny, schedule: "0 * * * *", duration: 1h')},
            r"a.yaml:14:16: .*these windows never let anything be written",
        ),
        (
            {"federation": windows('kind: Deny, schedule: "* * * * *", duration: 1m')},
            r"a.yaml:7:16: .*these windows never let anything be written",
        ),
        (
            {
                "federation": windows(NIGHTS),
                "cluster": windows('kind: Allow, schedule: "0 12 * * *", duration: 1h'),
            },
            r"a.yaml:14:16: .*and the Federation's are never open at once",
        ),
        (
            {
                "cluster": windows('kind: Deny, schedule: "0 0 * * *", duration: 12h'),
                "placement": windows('kind: Allow, schedule: "0 3 * * *", duration: 2h'),
            },
            r"a.yaml:26:16: .*and Cluster aws's are never open at once",
        ),
        (
            {
                "federation": windows('kind: Deny, schedule: "0 0 * * *", duration: 12h'),
                "placement": windows('kind: Allow, schedule: "0 3 * * *", duration: 2h'),
            },
            r"a.yaml:26:16: .*and the Federation's are never open at once",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(said: Mapping[str, str], told: str) -> None:
    import re

    found = read(**said)
    assert found.state is None
    (problem,) = found.problems
    text = f"{problem} expected: {problem.expected} hint: {problem.hint}"
    assert re.search(told, text), text


def test_a_placement_is_only_held_against_clusters_that_it_may_use() -> None:
    found = read(
        cluster=windows('kind: Deny, schedule: "0 0 * * *", duration: 12h'),
        placement="clusters: [gcp]\n  "
        + windows('kind: Allow, schedule: "0 3 * * *", duration: 2h'),
    )
    assert found.problems == ()


def test_a_paused_cluster_is_closed_and_no_other() -> None:
    found = read(cluster="paused: true")
    assert found.state is not None
    assert {name: str(why) for name, why in closed(found.state, NOON).items()} == {
        "aws": "waits: paused (Cluster aws)"
    }


def test_what_keeps_closed_is_named_and_the_stricter_wins() -> None:
    found = read(
        federation=windows(NIGHTS),
        cluster=windows('kind: Deny, schedule: "0 0 * * 6,0", duration: 1d, failover: false'),
        placement=windows('kind: Allow, schedule: "0 3 * * 2", timeZone: UTC, duration: 3h'),
    )
    assert found.state is not None, found.problems
    shut = closed(found.state, NOON)
    assert str(shut["aws"]) == (
        "waits until 2026-11-30 02:00 CET (the Federation, Cluster aws: maintenance)"
    )
    assert str(shut["gcp"]) == "waits until 2026-11-29 02:00 CET (the Federation: maintenance)"
    assert not shut["aws"].failover
    assert shut["gcp"].failover
    rules, key = Maintenance(found.state), found.state.workloads[0].key
    why = rules.closed("gcp", NOON, key)
    assert str(why) == (
        "waits until 2026-12-01 04:00 CET (the Federation, Placement web: maintenance)"
    )


def test_without_windows_nothing_is_loaded_for_them() -> None:
    import subprocess
    import sys

    script = (
        "import sys\n"
        "from reconciler.federation.compile import compile_documents\n"
        "from reconciler.federation.maintenance import closed\n"
        "closed(compile_documents([]).partial, 0.0)\n"
        "print([m for m in ('cronsim', 'zoneinfo') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
