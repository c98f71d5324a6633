"""What a Namespace, a definition or an owner would take along: strangers, and claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.errors import ApiError
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.inventory.applyset import with_membership
from reconciler.plan.model import Action, Change
from reconciler.plan.prune import foreign_objects_in, owned_claims
from tests.controlplane.process import eventually
from tests.definitions import definition
from tests.unit.plan.test_prune import thing

OURS = "applyset-ours-v1"
WHEN = "2026-01-02T03:04:05Z"


def ours(live: Object) -> Object:
    return with_membership(live, key_of(live), OURS)


# -- what holders take along: strangers ------------------------------------------------------------


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["aws"]) as sandbox:
        yield sandbox


@pytest.fixture
def cluster(sandbox: Sandbox) -> SimulatedCluster:
    one = sandbox.cluster("aws")
    one.create(fresh("Namespace", "shop", namespace=""))
    return one


@pytest.fixture
def member(sandbox: Sandbox) -> Member:
    return Connector.from_file(str(sandbox.kubeconfig), "federation-system").host()


def fresh(kind: str = "ConfigMap", name: str = "settings", **more: Any) -> Object:
    """A body without what the server sets."""
    body = thing(kind, name, **more)
    for part in ("uid", "resourceVersion"):
        body["metadata"].pop(part)
    return body


def strangers(
    member: Member, live: Object, applyset: str = OURS, going: tuple[str, ...] = ()
) -> str:
    change = Change(
        Action.PRUNE, key_of(live), live["apiVersion"], uid=live["metadata"]["uid"], live=live
    )
    return foreign_objects_in(member, change, live, member.discover(), applyset, going)


def shop(cluster: SimulatedCluster) -> Object:
    return cluster.get("Namespace", "shop")


def test_a_namespace_with_only_what_every_namespace_has_holds_no_strangers(
    member: Member, cluster: SimulatedCluster
) -> None:
    assert cluster.find("ServiceAccount", "default", "shop")
    assert cluster.find("ConfigMap", "kube-root-ca.crt", "shop")
    cluster.create(fresh("Lease", "some-controller", api_version="coordination.k8s.io/v1"))
    assert strangers(member, shop(cluster)) == ""


def test_somebody_elses_object_is_a_stranger_and_ours_is_none(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.apply(ours(fresh(name="ours")), manager="federation-reconciler")
    assert strangers(member, shop(cluster)) == ""
    cluster.create(fresh(name="theirs"))
    cluster.create({**fresh(name="elsewhere"), "metadata": {"name": "x", "namespace": "default"}})
    assert strangers(member, shop(cluster)) == "ConfigMap shop/theirs"


def test_of_two_federations_each_is_a_stranger_to_the_other(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.apply(ours(fresh(name="ours")), manager="federation-reconciler")
    assert strangers(member, shop(cluster), "applyset-theirs-v1") == "ConfigMap shop/ours"


def test_a_copy_of_our_marks_is_a_stranger(member: Member, cluster: SimulatedCluster) -> None:
    cluster.create(ours(fresh(name="copy")), manager="velero")
    assert strangers(member, shop(cluster)) == "ConfigMap shop/copy"


def owner(live: Object) -> Object:
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "name": live["metadata"]["name"],
        "uid": live["metadata"]["uid"],
    }


def test_what_follows_its_owners_is_no_stranger(member: Member, cluster: SimulatedCluster) -> None:
    first = cluster.apply(ours(fresh(name="owner")), manager="federation-reconciler")
    uid = first["metadata"]["uid"]
    middle = cluster.create(fresh(name="b", metadata={"ownerReferences": [owner(first)]}))
    cluster.create(fresh(name="c", metadata={"ownerReferences": [owner(middle)]}))
    assert strangers(member, shop(cluster), going=(uid,)) == ""
    assert strangers(member, shop(cluster)) == "ConfigMap shop/b, ConfigMap shop/c"


def test_one_owner_that_stays_keeps_what_it_owns(member: Member, cluster: SimulatedCluster) -> None:
    first = cluster.apply(ours(fresh(name="first")), manager="federation-reconciler")
    second = cluster.apply(ours(fresh(name="second")), manager="federation-reconciler")
    both = [owner(first), owner(second)]
    cluster.create(fresh(name="owned", metadata={"ownerReferences": both}))
    one, two = first["metadata"]["uid"], second["metadata"]["uid"]
    assert strangers(member, shop(cluster), going=(one,)) == "ConfigMap shop/owned"
    assert strangers(member, shop(cluster), going=(one, two)) == ""


def test_what_belongs_to_the_namespace_itself_goes_with_it(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.create(fresh(name="owned", metadata={"ownerReferences": [owner(shop(cluster))]}))
    assert strangers(member, shop(cluster)) == ""


def test_what_is_being_deleted_is_no_stranger_nor_what_follows_it(
    member: Member, cluster: SimulatedCluster
) -> None:
    held = {"finalizers": ["example.org/hold"]}
    going = cluster.create(fresh(name="going", metadata=held))
    cluster.create(fresh(name="owned", metadata={"ownerReferences": [owner(going)]}))
    cluster.delete("ConfigMap", "going", namespace="shop")
    assert strangers(member, shop(cluster)) == ""


def test_what_an_orphaning_deletion_leaves_is_a_stranger(
    member: Member, cluster: SimulatedCluster
) -> None:
    held = {"finalizers": ["example.org/hold", "orphan"]}
    going = cluster.create(fresh(name="going", metadata=held))
    cluster.create(fresh(name="owned", metadata={"ownerReferences": [owner(going)]}))
    # The simulated garbage collector would take the finalizer off at once.
    going["metadata"]["deletionTimestamp"] = WHEN
    cluster.server.store.put(cluster.resource("ConfigMap").table, going)
    assert strangers(member, shop(cluster)) == "ConfigMap shop/owned"


def test_what_has_lost_its_owner_is_about_to_be_collected(
    member: Member, cluster: SimulatedCluster
) -> None:
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "uid-of-old"}
    owned = fresh(name="owned", metadata={"ownerReferences": [gone]})
    cluster.server.store.put(
        cluster.resource("ConfigMap").table,
        {**owned, "metadata": {**owned["metadata"], "uid": "u1", "resourceVersion": "9"}},
    )
    assert strangers(member, shop(cluster)) == ""


def test_an_owner_of_a_kind_that_is_not_seen_keeps_what_it_owns(
    member: Member, cluster: SimulatedCluster
) -> None:
    unknown = {"apiVersion": "example.org/v1", "kind": "Shop", "name": "x", "uid": "uid-x"}
    cluster.create(fresh(name="owned", metadata={"ownerReferences": [unknown]}))
    assert strangers(member, shop(cluster)) == "ConfigMap shop/owned"


def test_what_may_not_be_listed_counts_as_a_stranger(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.forbid(method="GET", path="/namespaces/shop/secrets")
    assert strangers(member, shop(cluster)) == "secrets that cannot be listed"


@pytest.mark.parametrize("code", [404, 405])
def test_what_is_not_there_or_cannot_be_listed_by_anybody_holds_nothing(
    member: Member, cluster: SimulatedCluster, code: int
) -> None:
    cluster.faults.error(code, method="GET", path="/namespaces/shop/secrets")
    assert strangers(member, shop(cluster)) == ""


def test_a_list_that_fails_otherwise_is_an_error_that_names_the_kind(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.error(418, message="teapot", path="/namespaces/shop/secrets")
    with pytest.raises(ApiError, match=r"Secret \(v1\): teapot"):
        strangers(member, shop(cluster))


def test_groups_that_are_down_may_hold_anything(member: Member, cluster: SimulatedCluster) -> None:
    cluster.faults.fail_group("metrics.k8s.io/v1beta1")
    told = strangers(member, shop(cluster))
    assert told == "objects of API groups that are down (metrics.k8s.io)"


def test_nothing_is_asked_about_what_holds_nothing(
    member: Member, cluster: SimulatedCluster
) -> None:
    live = cluster.create(fresh())
    discovery = member.discover()
    before = len(cluster.requests)
    change = Change(Action.PRUNE, key_of(live), "v1", uid=live["metadata"]["uid"], live=live)
    assert foreign_objects_in(member, change, live, discovery, OURS, ()) == ""
    assert len(cluster.requests) == before


METADATA_ONLY = "as=PartialObjectMetadataList"


def test_of_strangers_no_content_is_asked_for(member: Member, cluster: SimulatedCluster) -> None:
    live = shop(cluster)
    discovery = member.discover()
    before = len(cluster.requests)
    change = Change(Action.PRUNE, key_of(live), "v1", uid=live["metadata"]["uid"], live=live)
    assert foreign_objects_in(member, change, live, discovery, OURS, ()) == ""
    asked = list(cluster.requests)[before:]
    assert "/api/v1/namespaces/shop/secrets" in {one.path for one in asked}
    assert [one for one in asked if METADATA_ONLY not in one.accept] == []


DEFINITION = definition("Shop", "example.org")


def a_shop(name: str, kind: str = "Shop", group: str = "example.org") -> Object:
    return fresh(kind, name, api_version=f"{group}/v1")


def defined(cluster: SimulatedCluster, name: str = "shops.example.org") -> Object:
    """The definition once it is established."""

    def found() -> Object:
        return cluster.get("CustomResourceDefinition", name)

    def established() -> bool:
        conditions = (found().get("status") or {}).get("conditions") or ()
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    eventually(established, "the definition is established")
    return found()


def test_custom_resources_of_others_in_any_namespace_are_strangers(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.create(DEFINITION)
    live = defined(cluster)
    assert strangers(member, live) == ""
    cluster.create(fresh(name="no-shop"))
    cluster.apply(ours(a_shop("ours")), manager="federation-reconciler")
    assert strangers(member, live) == ""
    cluster.create(a_shop("theirs"))
    assert strangers(member, live) == "Shop.example.org shop/theirs"


@pytest.mark.parametrize(("kind", "group"), [("Till", "example.org"), ("Shop", "example.com")])
def test_custom_resources_of_another_kind_or_group_do_not_go_with_a_definition(
    member: Member, cluster: SimulatedCluster, kind: str, group: str
) -> None:
    cluster.create(DEFINITION)
    cluster.create(definition(kind, group))
    defined(cluster, f"{kind.lower()}s.{group}")
    cluster.create(a_shop("theirs", kind, group))
    assert strangers(member, defined(cluster)) == ""


def test_custom_resources_of_which_no_version_is_served_may_be_anybodys(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.create(definition("Shop", "example.org", unserved=("v1",)))
    live = defined(cluster)
    assert strangers(member, live) == "shops that cannot be listed, as no version is served"
    conditions = [
        {"type": "Established", "status": "False"},
        {"type": "NamesAccepted", "status": "True"},
    ]
    not_yet = {**live, "status": {"conditions": conditions}}
    assert strangers(member, not_yet) == ""


def test_only_its_own_group_that_is_down_hides_what_goes_with_a_definition(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.create(DEFINITION)
    live = defined(cluster)
    cluster.create(a_shop("theirs"))
    cluster.faults.fail_group("metrics.k8s.io/v1beta1")
    assert strangers(member, live) == "Shop.example.org shop/theirs"
    cluster.faults.fail_group("example.org/v1")
    assert strangers(member, live) == "objects of API groups that are down (example.org)"


# -- claims that go along with a custom resource ---------------------------------------------------


def claim(name: str, *owners: Object) -> Object:
    resources = {"requests": {"storage": "1Gi"}}
    return fresh(
        "PersistentVolumeClaim",
        name,
        metadata={"ownerReferences": [owner(one) for one in owners]},
        spec={"accessModes": ["ReadWriteOnce"], "resources": resources},
    )


@pytest.fixture
def database(cluster: SimulatedCluster) -> Object:
    cluster.create(DEFINITION)
    defined(cluster)
    return cluster.create(a_shop("database"))


SHOP = ObjectKey("example.org", "Shop", "shop", "database")


def test_claims_that_a_custom_resource_owns_go_along(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    assert owned_claims(member, SHOP, database) == ""
    cluster.create(claim("free"))
    assert owned_claims(member, SHOP, database) == ""
    cluster.create(claim("data", database))
    told = "PersistentVolumeClaim shop/data would be deleted with it"
    before = len(cluster.requests)
    assert owned_claims(member, SHOP, database) == told
    asked = list(cluster.requests)[before:]
    lists = [one for one in asked if one.path.endswith("/persistentvolumeclaims")]
    assert [METADATA_ONLY in one.accept for one in lists] == [True]


def test_claims_that_it_owns_through_others_go_along_as_well(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    middle = cluster.create(fresh(name="middle", metadata={"ownerReferences": [owner(database)]}))
    cluster.create(claim("data", middle))
    other = cluster.create(fresh(name="other"))
    cluster.create(claim("of-others", other))
    told = owned_claims(member, SHOP, database)
    assert told == "PersistentVolumeClaim shop/data would be deleted with it"


def test_claims_go_along_however_long_the_line_of_their_owners_is(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    last = database
    for number in range(12):
        last = cluster.create(
            fresh(name=f"owner-{number}", metadata={"ownerReferences": [owner(last)]})
        )
    cluster.create(claim("data", last))
    assert (
        owned_claims(member, SHOP, database)
        == "PersistentVolumeClaim shop/data would be deleted with it"
    )


def test_a_claim_whose_owner_may_not_be_looked_at_counts_as_going_along(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    middle = cluster.create(fresh(name="middle", metadata={"ownerReferences": [owner(database)]}))
    cluster.create(claim("data", middle))
    cluster.faults.forbid(path="/configmaps/middle")
    assert owned_claims(member, SHOP, database).endswith("shop/data would be deleted with it")
    cluster.faults.clear()
    cluster.faults.error(418, message="teapot", path="/configmaps/middle")
    with pytest.raises(ApiError, match="teapot"):
        owned_claims(member, SHOP, database)


def test_an_owner_of_another_life_is_not_followed(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    middle = cluster.create(fresh(name="middle", metadata={"ownerReferences": [owner(database)]}))
    middle["metadata"]["uid"] = "of-another-life"
    nobody = {"apiVersion": "example.com/v1", "kind": "Nobody", "metadata": {"name": "x"}}
    nobody["metadata"]["uid"] = "nobody"  # type: ignore[index]
    table = cluster.resource("PersistentVolumeClaim").table
    body = claim("data", middle, nobody)
    metadata = {**body["metadata"], "uid": "u1", "resourceVersion": "9"}
    cluster.server.store.put(table, {**body, "metadata": metadata})
    assert owned_claims(member, SHOP, database) == ""


def test_owners_in_a_circle_come_to_an_end(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    table = cluster.resource("ConfigMap").table
    one = cluster.create(fresh(name="one"))
    two = cluster.create(fresh(name="two", metadata={"ownerReferences": [owner(one)]}))
    one["metadata"]["ownerReferences"] = [owner(two)]
    cluster.server.store.put(table, one)
    cluster.create(claim("data", two))
    assert owned_claims(member, SHOP, database) == ""


def test_claims_that_may_not_be_listed_count_as_going_along(
    member: Member, cluster: SimulatedCluster, database: Object
) -> None:
    cluster.faults.forbid(path="/persistentvolumeclaims")
    assert "may not be listed" in owned_claims(member, SHOP, database)
    cluster.faults.clear()
    cluster.faults.error(418, message="teapot", path="/persistentvolumeclaims")
    with pytest.raises(ApiError, match="teapot"):
        owned_claims(member, SHOP, database)


@pytest.mark.parametrize("group", ["", "apps", "batch", "networking.k8s.io"])
def test_kinds_of_kubernetes_itself_are_not_asked_about(
    member: Member, cluster: SimulatedCluster, group: str
) -> None:
    live = thing(name="database")
    before = len(cluster.requests)
    assert owned_claims(member, SHOP._replace(group=group), live) == ""
    assert len(cluster.requests) == before
