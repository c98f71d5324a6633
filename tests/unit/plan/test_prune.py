"""What is deleted, what stays, and why: each rule by itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.api.objects import GroupKind, Object, ObjectKey, key_of
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.federation.model import PruneRules, Requirement, Selector
from reconciler.inventory.applyset import with_membership
from reconciler.plan.model import Action, Change
from reconciler.plan.prune import (
    CRD,
    DeletionRules,
    PruneQuestion,
    candidates,
    data_deleted_with,
    data_loss,
    decide_prune,
    decide_recreation,
    deletion_words,
    recheck_prune,
    staying_in,
    uids_to_delete,
)

OURS = "applyset-ours-v1"
RULES = DeletionRules(PruneRules(), frozenset({"federation-system"}))
MARK = "federation.reconciler.dev/"
WHEN = "2026-01-02T03:04:05Z"


def thing(
    kind: str = "ConfigMap",
    name: str = "settings",
    namespace: str = "shop",
    api_version: str = "v1",
    **more: Any,
) -> Object:
    metadata: Object = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7"}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= more.pop("metadata", {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def annotated(**annotations: str) -> Object:
    return thing(
        metadata={"annotations": {MARK + k.replace("_", "-"): v for k, v in annotations.items()}}
    )


def question(live: Object, reason: str = "removed from Git") -> PruneQuestion:
    return PruneQuestion(key_of(live), GroupVersionKind.of(live), live, reason)


def decided(live: Object, rules: DeletionRules = RULES) -> Change:
    verdict = decide_prune(question(live), rules)
    assert isinstance(verdict, Change), verdict
    return verdict


def kept(live: Object, rules: DeletionRules = RULES) -> str:
    verdict = decide_prune(question(live), rules)
    assert isinstance(verdict, str)
    return verdict


# -- who is asked about ----------------------------------------------------------------------------


def test_what_is_not_wanted_is_asked_about_in_order_with_its_reason() -> None:
    things = [thing(name=name) for name in ("b", "wanted", "a")]
    members = {key_of(one): (GroupVersionKind.of(one), one) for one in things}
    wanted = [key_of(things[1])]
    found = list(candidates(members, wanted, lambda key: f"no more {key.name}"))
    assert [(q.key.name, q.reason) for q in found] == [("a", "no more a"), ("b", "no more b")]
    assert [q.live for q in found] == [things[2], things[0]]
    assert {q.kind for q in found} == {GroupVersionKind("v1", "ConfigMap")}


# -- the rules -------------------------------------------------------------------------------------


def test_an_object_that_nothing_protects_is_pruned_as_it_was_seen() -> None:
    live = thing()
    change = decided(live)
    assert change.action is Action.PRUNE
    assert (change.key, change.api_version) == (key_of(live), "v1")
    assert (change.uid, change.resource_version) == ("uid-settings", "7")
    assert (change.reason, change.propagation) == ("removed from Git", "Background")
    assert change.live == live
    assert change.request is None


@pytest.mark.parametrize(
    ("live", "rules", "why"),
    [
        pytest.param(
            thing(), PruneRules(enabled=False), "spec.prune.enabled is false", id="switched off"
        ),
        pytest.param(annotated(protect="true"), PruneRules(), "protected by", id="annotation"),
        pytest.param(
            thing(),
            PruneRules(protected_kinds=(GroupKind("", "ConfigMap"),)),
            "ConfigMap is a protected kind",
            id="kind",
        ),
        pytest.param(
            thing(metadata={"labels": {"keep": "me"}}),
            PruneRules(protected_labels=Selector({"keep": "me"})),
            "its labels are protected",
            id="label",
        ),
        pytest.param(
            thing(),
            PruneRules(
                protected_labels=Selector(expressions=(Requirement("keep", "DoesNotExist"),))
            ),
            "its labels are protected",
            id="no labels at all",
        ),
        pytest.param(
            thing("Namespace", "kube-system", ""), PruneRules(), "the cluster needs", id="system"
        ),
        pytest.param(
            thing("Namespace", "default", ""), PruneRules(), "the cluster needs", id="default"
        ),
        pytest.param(
            thing("Namespace", "federation-system", ""), PruneRules(), "itself needs it", id="own"
        ),
        pytest.param(
            thing("Secret", "x", "federation-system"), PruneRules(), "itself needs it", id="state"
        ),
        pytest.param(
            thing("Lease", "x", "federation-system", "coordination.k8s.io/v1"),
            PruneRules(),
            "itself needs it",
            id="lock",
        ),
        pytest.param(
            thing(
                "ClusterRole",
                "x",
                "",
                "rbac.authorization.k8s.io/v1",
                metadata={"labels": {"app.kubernetes.io/managed-by": "federation-reconciler"}},
            ),
            PruneRules(),
            "itself needs it",
            id="rights",
        ),
    ],
)
def test_what_is_protected_stays(live: Object, rules: PruneRules, why: str) -> None:
    assert why in kept(live, replace(RULES, prune=rules))


@pytest.mark.parametrize(
    "live",
    [
        pytest.param(thing("ConfigMap", "kube-system", "shop"), id="a namesake of a namespace"),
        pytest.param(thing("Namespace", "shop", ""), id="a namespace of others"),
        pytest.param(thing("Secret", "x", "shop"), id="a Secret elsewhere"),
        pytest.param(
            thing("Deployment", "x", "federation-system", "apps/v1"), id="a workload beside ours"
        ),
        pytest.param(thing("ConfigMap", "federation-system", "shop"), id="a namesake of our own"),
        pytest.param(
            thing(metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}}), id="of another"
        ),
        pytest.param(annotated(protect="false", orphan="false"), id="expressly unprotected"),
        pytest.param(thing(metadata={"labels": None, "annotations": None}), id="null maps"),
    ],
)
def test_nothing_else_stays(live: Object) -> None:
    rules = PruneRules(
        protected_kinds=(GroupKind("apps", "ConfigMap"),),
        protected_labels=Selector({"keep": "me"}),
    )
    assert decided(live, replace(RULES, prune=rules)).action is Action.PRUNE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (MARK + "protect", "yes"),
        (MARK + "protect", ""),
        (MARK + "orphan", "True"),
        ("kubefed.io/orphan", "on"),
        (MARK + "prune-propagation", "background"),
        (MARK + "prune-propagation", ""),
    ],
)
def test_an_annotation_that_is_neither_yes_nor_no_keeps_the_object(name: str, value: str) -> None:
    live = thing(metadata={"annotations": {name: value}})
    assert kept(live) == f"its annotation {name} is {value!r}, and in doubt it stays"
    disabled = replace(RULES, prune=PruneRules(enabled=False))
    assert kept(live, disabled) == kept(live)


@pytest.mark.parametrize("name", [MARK + "orphan", "kubefed.io/orphan"])
@pytest.mark.parametrize("rules", [PruneRules(), PruneRules(enabled=False)])
def test_what_is_marked_so_is_released_and_not_deleted(name: str, rules: PruneRules) -> None:
    live = thing(metadata={"annotations": {name: "true", MARK + "protect": "true"}})
    change = decided(live, replace(RULES, prune=rules))
    assert change.action is Action.ORPHAN
    assert change.reason == "removed from Git, and marked to be orphaned"


def test_dependents_go_as_the_rules_or_the_object_itself_say() -> None:
    assert decided(thing()).propagation == "Background"
    foreground = replace(RULES, prune=PruneRules(propagation="Foreground"))
    assert decided(thing(), foreground).propagation == "Foreground"
    assert decided(annotated(prune_propagation="Orphan"), foreground).propagation == "Orphan"


@pytest.mark.parametrize(
    "protection", [{}, {"annotations": {MARK + "protect": "true"}}, {"annotations": {"x": "y"}}]
)
def test_what_is_being_deleted_is_told_as_that_whatever_the_rules_say(protection: Object) -> None:
    live = thing(
        metadata={**protection, "deletionTimestamp": WHEN, "finalizers": ["example.org/hold"]}
    )
    change = decided(live, replace(RULES, prune=PruneRules(enabled=False)))
    assert change.action is Action.TERMINATING
    assert change.error == deletion_words(live)
    assert change.reason == "removed from Git"


def test_owners_and_data_that_goes_along_are_told() -> None:
    owners = [{"kind": "Shop", "name": "a", "uid": "1"}, {"kind": "Shop", "name": "b", "uid": "2"}]
    live = thing("PersistentVolumeClaim", "data", metadata={"ownerReferences": owners})
    assert decided(live).reason == (
        "removed from Git; owned by Shop a, Shop b; "
        "the data of its volume is deleted with it, unless that is retained"
    )
    # What a holder takes along is looked at in the cluster, and not told from its kind.
    assert decided(thing("Namespace", "shop", "")).reason == "removed from Git"


# -- words -----------------------------------------------------------------------------------------


def test_a_deletion_is_told_with_what_it_waits_for() -> None:
    live = thing(metadata={"deletionTimestamp": WHEN})
    assert deletion_words(live) == f"it is being deleted since {WHEN}"
    live["metadata"]["finalizers"] = ["a/b", "c/d"]
    told = f"it is being deleted since {WHEN}, and waits for its finalizers: a/b, c/d"
    assert deletion_words(live) == told
    conditions = [
        {"type": "NamespaceContentRemaining", "status": "True", "message": "2 pods"},
        {"type": "NamespaceFinalizersRemaining", "status": "False", "message": "none"},
        {"type": "Ready", "status": "True", "message": "fine"},
    ]
    live["status"] = {"conditions": conditions}
    assert deletion_words(live) == f"{told}; 2 pods"


CLAIM = ObjectKey("", "PersistentVolumeClaim", "shop", "data")
VOLUME = ObjectKey("", "PersistentVolume", "", "disk")
SET = ObjectKey("apps", "StatefulSet", "shop", "db")
SNAPSHOT = ObjectKey("snapshot.storage.k8s.io", "VolumeSnapshot", "shop", "daily")
DELETES = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}


@pytest.mark.parametrize(
    ("key", "spec", "propagation", "words"),
    [
        (ObjectKey("", "Namespace", "", "shop"), {}, "Background", "all that it holds"),
        (ObjectKey(*CRD, "", "shops.example.org"), {}, "Background", "all that it holds"),
        (CLAIM, {}, "Background", "the data of its volume"),
        (
            VOLUME,
            {},
            "Background",
            "the volume itself is deleted with it (persistentVolumeReclaimPolicy: D",
        ),
        (VOLUME, {"persistentVolumeReclaimPolicy": "Retain"}, "Background", "its claim loses it"),
        (SNAPSHOT, {}, "Background", "the data of its snapshot"),
        (SNAPSHOT._replace(group="groupsnapshot.storage.k8s.io"), {}, "Orphan", "its snapshot"),
        (SNAPSHOT._replace(kind="VolumeSnapshotClass"), {}, "Background", ""),
        (SNAPSHOT._replace(group="example.org"), {}, "Background", ""),
        (SET, DELETES, "Background", "its PersistentVolumeClaims are deleted with it"),
        (SET, DELETES, "Foreground", "its PersistentVolumeClaims are deleted with it"),
        (SET, DELETES, "Orphan", ""),
        (SET, {}, "Background", ""),
        (SET._replace(kind="Deployment"), DELETES, "Background", ""),
        (ObjectKey("example.org", "PersistentVolumeClaim", "shop", "x"), {}, "Background", ""),
    ],
)
def test_the_data_that_goes_along(
    key: ObjectKey, spec: Object, propagation: str, words: str
) -> None:
    told = data_deleted_with(key, {"spec": spec}, propagation)
    assert words in told
    assert bool(told) == bool(words)


def test_data_may_be_lost_only_of_kinds_for_which_that_is_allowed() -> None:
    assert data_loss(CLAIM, "", RULES) == ""
    told = data_loss(CLAIM, "the data goes along", RULES)
    assert told == (
        "the data goes along; spec.recreation.allowDataLoss: [PersistentVolumeClaim] would allow it"
    )
    allowed = replace(RULES, data_loss=(CLAIM.group_kind,))
    assert data_loss(CLAIM, "the data goes along", allowed) == ""
    assert data_loss(SET, "the data goes along", allowed)


# -- recreations -----------------------------------------------------------------------------------


def ours(live: Object) -> Object:
    return with_membership(live, key_of(live), OURS)


def recreated(live: Object, wanted: Object, rules: DeletionRules = RULES) -> Change | str:
    return decide_recreation(question(live, "changed in Git"), wanted, rules, OURS)


def test_only_what_is_ours_is_recreated() -> None:
    verdict = recreated(ours(thing()), thing())
    assert isinstance(verdict, Change)
    assert verdict.action is Action.PRUNE
    assert "not in this federation's inventory" in str(recreated(thing(), ours(thing())))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (MARK + "protect", "it is protected by the annotation"),
        (MARK + "orphan", "it is marked to be orphaned"),
        ("kubefed.io/orphan", "it is marked to be orphaned"),
    ],
)
@pytest.mark.parametrize("marked", ["live", "wanted"])
def test_a_mark_on_the_object_or_in_git_protects_it_from_being_recreated(
    name: str, why: str, marked: str
) -> None:
    with_mark = thing(metadata={"annotations": {name: "true"}})
    pair = {"live": ours(thing()), "wanted": thing(), marked: with_mark}
    pair["live"] = ours(pair["live"])
    assert why in str(recreated(pair["live"], pair["wanted"]))


def test_what_git_says_of_dependents_counts_before_what_the_object_says() -> None:
    live, wanted = annotated(prune_propagation="Foreground"), annotated(prune_propagation="Orphan")
    verdict = recreated(ours(live), wanted)
    assert isinstance(verdict, Change)
    assert verdict.propagation == "Orphan"


def test_what_git_has_no_longer_protects_the_object_until_it_is_made_anew() -> None:
    labels = {"metadata": {"labels": {"keep": "me"}}}
    rules = replace(RULES, prune=PruneRules(protected_labels=Selector({"keep": "me"})))
    unlabelled = thing(metadata={"labels": {"keep": "no"}})
    assert "labels are protected" in str(recreated(ours(thing(**labels)), unlabelled, rules))
    assert "labels are protected" in str(recreated(ours(unlabelled), thing(**labels), rules))
    assert isinstance(recreated(ours(unlabelled), unlabelled, rules), Change)


def test_what_holds_others_or_data_is_not_recreated() -> None:
    namespace = ours(thing("Namespace", "shop", ""))
    everything = replace(RULES, data_loss=(key_of(namespace).group_kind, CLAIM.group_kind))
    assert (
        recreated(namespace, namespace, everything) == "all that it holds would be deleted with it"
    )
    claim = ours(thing("PersistentVolumeClaim", "data"))
    assert "allowDataLoss" in str(recreated(claim, claim))
    verdict = recreated(claim, claim, everything)
    assert isinstance(verdict, Change)


# -- looked at again -------------------------------------------------------------------------------


def planned(live: Object, action: Action = Action.PRUNE, **more: Any) -> Change:
    return Change(action, key_of(live), "v1", uid=live["metadata"]["uid"], live=live, **more)


def changed(live: Object, **metadata: Any) -> Object:
    return {**live, "metadata": {**live["metadata"], **metadata}}


def with_annotation(live: Object, name: str, value: str) -> Object:
    return changed(live, annotations={**live["metadata"]["annotations"], MARK + name: value})


LIVE = ours(thing(data={"colour": "red"}))


def test_what_is_as_it_was_may_go() -> None:
    written_to = changed(LIVE, resourceVersion="8", generation=3)
    assert recheck_prune(planned(LIVE), {**written_to, "status": {"a": 1}}, RULES, OURS) == ""
    assert recheck_prune(planned(LIVE), {**LIVE, "data": {"colour": "blue"}}, RULES, OURS) == ""
    assert recheck_prune(planned(LIVE, Action.RECREATE), written_to, RULES, OURS) == ""


@pytest.mark.parametrize("action", [Action.PRUNE, Action.ORPHAN, Action.RECREATE])
def test_another_object_or_one_that_is_no_longer_ours_stays(action: Action) -> None:
    change = planned(LIVE, action)
    another = changed(LIVE, uid="another")
    assert "deleted and made again" in recheck_prune(change, another, RULES, OURS)
    assert "no longer ours" in recheck_prune(change, LIVE, RULES, "applyset-theirs-v1")
    assert "no longer ours" in recheck_prune(change, changed(LIVE, labels={}), RULES, OURS)
    going = changed(LIVE, labels={}, deletionTimestamp=WHEN)
    assert recheck_prune(change, going, RULES, OURS) == ""


def test_a_recreation_needs_the_object_to_be_as_it_was_in_all_that_people_write() -> None:
    change = planned(LIVE, Action.RECREATE)
    text = "it was changed since the plan"
    assert recheck_prune(change, {**LIVE, "data": {"colour": "blue"}}, RULES, OURS) == text
    labelled = changed(LIVE, labels={**LIVE["metadata"]["labels"], "a": "b"})
    assert recheck_prune(change, labelled, RULES, OURS) == text
    assert recheck_prune(change, {**LIVE, "status": {"a": 1}}, RULES, OURS) == ""
    one, true = ({**LIVE, "data": {"number": value}} for value in (1, True))
    assert recheck_prune(planned(one, Action.RECREATE), true, RULES, OURS) == text
    unseen = Change(Action.RECREATE, key_of(LIVE), "v1", uid=LIVE["metadata"]["uid"])
    assert recheck_prune(unseen, LIVE, RULES, OURS) == text


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("protect", "true", "it is protected"),
        ("protect", "perhaps", "in doubt it stays"),
        ("orphan", "true", "since the plan it is to orphan"),
        ("prune-propagation", "Orphan", "since the plan it is to prune (Orphan deletion)"),
    ],
)
def test_what_somebody_marked_since_the_plan_is_not_deleted(
    name: str, value: str, why: str
) -> None:
    assert why in recheck_prune(planned(LIVE), with_annotation(LIVE, name, value), RULES, OURS)


def test_what_is_to_be_released_and_lost_its_mark_is_not_released() -> None:
    marked = with_annotation(LIVE, "orphan", "true")
    change = planned(marked, Action.ORPHAN)
    assert recheck_prune(change, marked, RULES, OURS) == ""
    assert "it is to prune" in recheck_prune(change, LIVE, RULES, OURS)


def test_an_owner_that_came_since_the_plan_keeps_the_object() -> None:
    owner = [{"kind": "Shop", "name": "a", "uid": "1"}]
    text = recheck_prune(planned(LIVE), changed(LIVE, ownerReferences=owner), RULES, OURS)
    assert "owned by Shop a" in text


def test_a_release_that_somebody_asked_for_needs_no_rule() -> None:
    """``unjoin --orphan`` releases what the rules would prune, or keep."""
    assert recheck_prune(planned(LIVE, Action.ORPHAN), LIVE, RULES, OURS) == ""
    protected = with_annotation(LIVE, "protect", "true")
    assert recheck_prune(planned(protected, Action.ORPHAN), protected, RULES, OURS) == ""


# -- what holders take along: our own --------------------------------------------------------------


def test_our_own_objects_that_stay_keep_what_holds_them() -> None:
    shop = thing("Namespace", "shop", "")
    keys = [key_of(thing(name=n)) for n in "abcde"]
    others = [key_of(thing(namespace="other")), key_of(thing("ClusterRole", "x", ""))]
    members = [key_of(shop), *keys, *others]
    assert staying_in(key_of(shop), shop, members, keys) == ""
    assert staying_in(key_of(shop), shop, members, keys[1:]) == "ConfigMap shop/a"
    assert staying_in(key_of(shop), shop, members, ()).endswith("shop/c and 2 more")


def test_custom_resources_that_stay_keep_their_definition() -> None:
    spec = {"group": "example.org", "names": {"kind": "Shop", "plural": "shops"}}
    definition = thing(
        "CustomResourceDefinition",
        "shops.example.org",
        "",
        "apiextensions.k8s.io/v1",
        spec=spec,
    )
    key = key_of(definition)
    of_it = ObjectKey("example.org", "Shop", "a", "b")
    members = [of_it, of_it._replace(group="example.com"), of_it._replace(kind="Till")]
    assert staying_in(key, definition, members, ()) == str(of_it)
    assert staying_in(key, definition, members, [of_it]) == ""
    assert staying_in(key, {**definition, "spec": None}, members, ()) == ""


def test_the_dependents_of_what_is_pruned_go_too_unless_they_are_orphaned() -> None:
    def change(uid: str, action: Action = Action.PRUNE, propagation: str = "Background") -> Change:
        return Change(action, key_of(thing()), "v1", uid=uid, propagation=propagation)

    going = [
        change("a"),
        change("b", propagation="Foreground"),
        change("c", propagation="Orphan"),
        change("d", Action.ORPHAN),
        change("e", Action.RECREATE),
    ]
    assert uids_to_delete(going) == {"a", "b"}


# -- whatever somebody writes on an object ---------------------------------------------------------


@given(
    annotations=st.dictionaries(
        st.sampled_from(
            [MARK + "protect", MARK + "orphan", "kubefed.io/orphan", MARK + "prune-propagation"]
        ),
        st.sampled_from(["true", "false", "True", "", "Orphan", "Foreground", "x"]),
    ),
    enabled=st.booleans(),
)
def test_only_a_clear_yes_deletes(annotations: dict[str, str], enabled: bool) -> None:
    live = thing(metadata={"annotations": annotations})
    verdict = decide_prune(question(live), replace(RULES, prune=PruneRules(enabled=enabled)))
    deletes = isinstance(verdict, Change) and verdict.action is Action.PRUNE
    propagation = annotations.pop(MARK + "prune-propagation", "Background")
    clear = set(annotations.values()) <= {"false"} and propagation in (
        "Background",
        "Foreground",
        "Orphan",
    )
    assert deletes == (enabled and clear)
