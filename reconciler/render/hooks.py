"""Objects that a chart marks as hooks: when helm would make them, and what becomes of them here."""

from __future__ import annotations

from reconciler.api.objects import Object, map_of

HOOK = "helm.sh/hook"
WEIGHT = "helm.sh/hook-weight"
_EARLY = frozenset({"pre-install", "pre-upgrade"})


def hook_kinds(body: Object) -> list[str]:
    """The moments for which a chart asks; none: it is no hook."""
    text = str(map_of(body["metadata"].get("annotations")).get(HOOK) or "")
    return [part.strip() for part in text.split(",") if part.strip()]


def is_test(body: Object) -> bool:
    """Whether it is made by ``helm test`` only."""
    return any(kind.startswith("test") for kind in hook_kinds(body))


def is_early_hook(body: Object) -> bool:
    """Whether helm makes it before everything else of the release."""
    return not _EARLY.isdisjoint(hook_kinds(body))


def hook_weight(body: Object) -> int:
    """The order among hooks, the least first; what is no number counts as 0, as helm has it."""
    try:
        return int(str(map_of(body["metadata"].get("annotations")).get(WEIGHT) or 0))
    except ValueError:
        return 0
