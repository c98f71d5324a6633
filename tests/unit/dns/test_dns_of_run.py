"""DNS as a step of a run on simulated clusters: what is asked, what a refusal means, outages."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import DnsError
from reconciler.cluster.connect import OTHER_NAMESPACES, Connections, Connector
from reconciler.dns.dns_of_run import plan_dns_of_run, secrets_of, simulate_dns_of_run
from reconciler.dns.plan import DnsPlan, apply_dns
from reconciler.dns.rules import SecretValue
from reconciler.federation.model import DesiredState
from reconciler.git.owner import Claimant
from reconciler.inventory.ownership import Servers
from reconciler.plan.live_state import observe_all
from tests.controlplane.process import eventually
from tests.unit.dns.fleets import CLUSTERS, WEB, endpoint_slice, lines, service, understood
from tests.unit.dns.named import CREDENTIALS, ZONE, Named, federation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

NAMES = ("aws-eu", "gcp-eu", "gcp-us")
NAME = f"web.shop.{ZONE}"


@dataclass
class Members:
    """Three simulated clusters; AWS' load balancers have host names, as in life."""

    sandbox: Sandbox

    def __post_init__(self) -> None:
        web = service("web")
        web["spec"] = {"type": "LoadBalancer", "ports": [{"port": 443}]}
        for name in NAMES:
            cluster = self.sandbox.cluster(name)
            cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            cluster.create({part: web[part] for part in web if part != "status"})
            cluster.create({**endpoint_slice("web"), "addressType": "IPv4"})
        eventually(lambda: all(self.point(name) for name in NAMES), "load balancers")

    def point(self, cluster: str) -> dict[str, str]:
        """The load balancer's address, once there is one."""
        live = self.sandbox.cluster(cluster).get("Service", "web", "shop")
        points = (live.get("status") or {}).get("loadBalancer", {}).get("ingress") or [{}]
        return dict(points[0])

    @property
    def connector(self) -> Connector:
        return Connector.from_file(str(self.sandbox.kubeconfig), "federation-system")

    def planned(self, state: DesiredState, down: dict[str, str] | None = None) -> DnsPlan:
        down = down or {}
        connector = self.connector
        kinds: dict[str, set] = {name: set() for name in NAMES}
        connect = Connections(connector).member
        seen = observe_all(
            connect, state.clusters, state, kinds, down, (), CLAIMANT, Servers(), lambda: None
        )
        return plan_dns_of_run(state, everywhere(state), seen, down, connector)

    def simulated(self, state: DesiredState, down: dict[str, str]) -> DnsPlan:
        connect = Connections(self.connector).member
        return simulate_dns_of_run(state, everywhere(state), connect, down)


def everywhere(state: DesiredState) -> dict:
    return {w.key: frozenset(NAMES) for w in state.workloads}


CLAIMANT = Claimant(("git.example.com/org/fleet",))


@pytest.fixture
def members() -> Iterator[Members]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=1)) as sandbox:
        yield Members(sandbox)


@pytest.fixture
def state(named: Named, monkeypatch: pytest.MonkeyPatch) -> DesiredState:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return understood(federation(named.port), CLUSTERS, WEB)


def addresses(members: Members) -> dict[str, str]:
    return {name: members.point(name)["ip"] for name in NAMES}


def test_addresses_are_those_that_the_members_give(members: Members, state: DesiredState) -> None:
    given = addresses(members)
    assert len(set(given.values())) == 3
    plan = members.planned(state)
    assert lines(plan) == [f"create {NAME} A - -> {','.join(sorted(given.values()))}"]
    assert (plan.notices, plan.errors) == ((), ())


def test_a_member_that_refuses_to_tell_keeps_what_it_has(
    members: Members, state: DesiredState, named: Named
) -> None:
    apply_dns(members.planned(state))
    before = named.answer(NAME)
    members.sandbox.cluster("aws-eu").faults.forbid(path="endpointslices")
    plan = members.planned(state)
    assert plan.changes == ()
    assert str(plan.notices[0]).startswith(
        "aws-eu: its addresses cannot be read, so its DNS records"
    )
    # Another one that is down is withdrawn all the same.
    plan = members.planned(state, {"gcp-us": "no answer"})
    apply_dns(plan)
    given = addresses(members)
    assert named.answer(NAME) == sorted([given["aws-eu"], given["gcp-eu"]])
    assert len(before) == 3


def test_an_imagined_outage_asks_no_provider(members: Members, state: DesiredState) -> None:
    # A server that is not there, and no credential.
    text = federation(1).replace("env/TSIG_SECRET", "env/NO_SUCH_VARIABLE")
    state = understood(text, CLUSTERS, WEB)
    given = addresses(members)
    assert members.simulated(state, {}) == DnsPlan()
    plan = members.simulated(state, {"aws-eu": "simulated outage of cluster=aws-eu"})
    left = sorted([given["gcp-eu"], given["gcp-us"]])
    assert lines(plan) == [
        f"update {NAME} A {','.join(sorted(given.values()))} -> {','.join(left)}"
    ]
    assert plan.changes[0]["reason"] == "aws-eu is down: simulated outage of cluster=aws-eu"
    assert plan.writes == ()
    plan = members.simulated(state, dict.fromkeys(NAMES, "simulated outage of everything"))
    assert plan.changes == ()
    assert "stay as they are" in str(plan.notices[0])


def test_imagined_load_balancers_with_host_names_have_addresses() -> None:
    settings = dict.fromkeys(NAMES, ClusterSettings(nodes=1))
    settings["aws-eu"] = ClusterSettings(nodes=1, load_balancer_hostnames=True, region="eu-west-1")
    with Sandbox(list(NAMES), settings=settings) as sandbox:
        state = understood(federation(1), CLUSTERS, WEB)
        plan = Members(sandbox).simulated(state, {"gcp-us": "simulated outage"})
    (row,) = plan.changes
    assert len(row["from"]) == 3
    assert any(value.startswith("198.18.") for value in row["to"])


def test_what_was_never_applied_is_imagined_with_addresses() -> None:
    closed = WEB.replace("name: web", "name: closed").replace("LoadBalancer", "ClusterIP")
    state = understood(federation(1), CLUSTERS, WEB, closed.replace('"true"', '"never, in_valid-"'))
    with Sandbox(list(NAMES)) as sandbox:
        members = Members.__new__(Members)
        members.sandbox = sandbox
        plan = members.simulated(state, {"gcp-us": "simulated outage"})
        well = members.simulated(state, {})
    (row,) = plan.changes
    assert (row["name"], len(set(row["from"])), len(set(row["to"]))) == (NAME, 3, 2)
    assert all(value.startswith("198.19.") for value in row["from"])
    assert set(row["to"]) < set(row["from"])
    assert well.changes == ()
    for told in (plan.notices, well.notices):
        assert [str(warning).partition(": ")[2].partition(" ")[0] for warning in told] == [
            "its",
            "no",
        ]


def test_credentials_from_secrets_of_the_host_cluster(members: Members) -> None:
    host = members.sandbox.cluster("aws-eu")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
    host.create(namespace)
    value = base64.b64encode(b"c2VjcmV0\n").decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tsig", "namespace": "federation-system"},
        "data": {"key": value, "picture": base64.b64encode(b"\xff\xfe").decode()},
    }
    host.create(secret)
    path = str(members.sandbox.kubeconfig)
    connector = Connector.from_file(path, "federation-system", host_context="aws-eu")
    connector = replace(connector, first_use="tell", allow=frozenset({OTHER_NAMESPACES}))
    read = secrets_of(connector)
    assert read(SecretValue("tsig", "key")) == "c2VjcmV0"
    for reference, message in [
        (SecretValue("tsig", "kye"), "Secret federation-system/tsig has no key 'kye'"),
        (SecretValue("gist", "key", "shop"), "Secret shop/gist does not exist"),
        (SecretValue("tsig", "picture"), "Secret federation-system/tsig is damaged at 'picture'"),
    ]:
        with pytest.raises(DnsError) as caught:
            read(reference)
        assert str(caught.value) == message
