"""The RBAC rules that a reconciler needs in a member: what the repository's kinds ask for. Pure.

Nothing is granted that no manifest needs; whoever writes workloads may read what comes of them, as
nothing is pruned under an old Pod or a Job that runs. Two things follow from how RBAC works:

- Whoever writes a Role must hold what is in it ("escalation"), so the rules of the repository's own
  Roles and ClusterRoles are part of what is granted; ``escalate`` is never given.
- Whoever writes a binding needs the verb ``bind`` on that very role, or must hold what is in it.
  The latter is found out by reading the role, which a plan's dry run cannot where the role is
  still to come. So ``bind`` is granted, by name.

A Namespace or CRD is pruned only after a look at everything inside it; without ``see_everything``
the member refuses that look, and the reconciler keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from reconciler.api.objects import Object, RedactedRepr
from reconciler.cluster.discovery import RESTMapping

RBAC_GROUP = "rbac.authorization.k8s.io"
VERBS = ("get", "list", "watch", "create", "patch", "update", "delete")
Rule = dict[str, list[str]]

_READ = ("get", "list")
_MAKE_PODS = ("deployments", "statefulsets", "daemonsets", "cronjobs")
_ROLES = ("ClusterRole", "Role")
_BINDINGS = ("ClusterRoleBinding", "RoleBinding")


class Needs(RedactedRepr, frozen=True):
    """What a member must allow. ``resources`` are those of the repository and the inventory,
    ``templates`` the repository's objects, ``dns`` whether DNS targets are read from Services,
    ``room`` whether something goes by the room on nodes, of which the Pods are read."""

    resources: tuple[RESTMapping, ...]
    templates: tuple[Object, ...] = ()
    dns: bool = False
    room: bool = False
    see_everything: bool = False
    full_access: bool = False


FULL_ACCESS: tuple[Rule, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
"""What ``cluster-admin`` holds."""


def workload_rules(needs: Needs, namespace: str) -> tuple[Rule, ...]:
    """The rules of the member's ClusterRole; ``namespace`` is the inventory's."""
    if needs.full_access:
        return FULL_ACCESS
    rules = [_rule(group, plurals, VERBS) for group, plurals in _by_group(needs.resources)]
    # A first run looks whether the inventory's namespace is there, and which API server this is.
    names = sorted({namespace, "kube-system"})
    rules.append({**_rule("", ["namespaces"], ["get"]), "resourceNames": names})
    if any(resource.plural in _MAKE_PODS for resource in needs.resources):
        rules.append(_rule("", ["pods"], _READ))
        rules.append(_rule("apps", ["controllerrevisions", "replicasets"], _READ))
        rules.append(_rule("batch", ["jobs"], _READ))
    if needs.room:
        rules.append(_rule("", ["nodes", "pods"], _READ))
    if needs.dns:
        rules.append(_rule("", ["services"], ("get", "list")))
        rules.append(_rule("networking.k8s.io", ["ingresses"], ("get", "list")))
        rules.append(_rule("gateway.networking.k8s.io", ["gateways"], ("get", "list")))
        rules.append(_rule("discovery.k8s.io", ["endpointslices"], ("get", "list")))
    if needs.see_everything:
        rules.append(_rule("*", ["*"], ("get", "list")))
    return tuple(_without_repetition([*rules, *_rules_of_roles(needs.templates)]))


def health_rules() -> tuple[Rule, ...]:
    """The rules by which a member's health is probed and its kinds are discovered."""
    paths = ["/healthz", "/livez", "/readyz", "/version"]
    discovery = ["/api", "/api/*", "/apis", "/apis/*"]
    below = ["/healthz/*", "/livez/*", "/readyz/*", "/version/"]
    return (
        _rule("", ["nodes"], ("get", "list", "watch")),
        {"nonResourceURLs": [*paths, *below, *discovery], "verbs": ["get"]},
    )


def inventory_rules(account: str, register: str = "") -> tuple[Rule, ...]:
    """The rules of the Role in the inventory's namespace; ``account``, ``register`` as below."""
    return (_rule("", ["secrets"], VERBS), *witness_rules(account, register))


def witness_rules(account: str, register: str) -> tuple[Rule, ...]:
    """What else may be done in the inventory's namespace, which is all that a Witness allows.

    ``account`` may ask for tokens for itself, so that a run can renew its own before it expires;
    empty: there is no ServiceAccount. ``register`` is the ConfigMap that a seat keeps its copy in;
    empty: the cluster is no seat. A creation has no name that RBAC could look at.
    """
    rules = []
    if account:
        token = _rule("", ["serviceaccounts/token"], ["create"])
        rules.append({**token, "resourceNames": [account]})
    if register:
        copy = _rule("", ["configmaps"], ["get", "update"])
        rules += [{**copy, "resourceNames": [register]}, _rule("", ["configmaps"], ["create"])]
    return tuple(rules)


def privileged_roles(templates: Iterable[Object]) -> tuple[str, ...]:
    """Roles of the repository that only somebody with all rights may write."""
    return tuple(
        f"{obj['kind']} {obj['metadata']['name']} is aggregated: only full access may write it"
        for obj in templates
        if obj.get("kind") in _ROLES and obj.get("aggregationRule")
    )


def _by_group(resources: Iterable[RESTMapping]) -> list[tuple[str, list[str]]]:
    groups: dict[str, set[str]] = defaultdict(set)
    for resource in resources:
        group, slash, _ = resource.api_version.partition("/")
        groups[group if slash else ""].add(resource.plural)
    return [(group, sorted(plurals)) for group, plurals in sorted(groups.items())]


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Rule:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _rules_of_roles(templates: Sequence[Object]) -> list[Rule]:
    rules: list[Rule] = []
    bound: dict[str, set[str]] = defaultdict(set)
    for obj in templates:
        if _is_rbac(obj, _ROLES) and not obj.get("aggregationRule"):
            rules += [dict(rule) for rule in obj.get("rules") or ()]
        elif _is_rbac(obj, _BINDINGS):
            role = obj.get("roleRef") or {}
            if role.get("kind") in _ROLES and role.get("name"):
                bound[role["kind"].lower() + "s"].add(str(role["name"]))
    for plural, names in sorted(bound.items()):
        rules.append({**_rule(RBAC_GROUP, [plural], ["bind"]), "resourceNames": sorted(names)})
    return rules


def _is_rbac(obj: Object, kinds: Sequence[str]) -> bool:
    return obj.get("kind") in kinds and str(obj.get("apiVersion", "")).startswith(RBAC_GROUP)


def _without_repetition(rules: Iterable[Rule]) -> list[Rule]:
    found: list[Rule] = []
    for rule in rules:
        if rule not in found:
            found.append(rule)
    return found
