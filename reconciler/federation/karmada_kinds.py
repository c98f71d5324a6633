"""Karmada's kinds, as far as every run must know them; what they mean is in ``karmada``."""

from __future__ import annotations

from reconciler.api.objects import Object, api_group, map_of
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import KARMADA_CLUSTER, KARMADA_POLICY

CLUSTER_GROUP, POLICY_GROUP = api_group(KARMADA_CLUSTER), api_group(KARMADA_POLICY)
OVERRIDE_KINDS = ("OverridePolicy", "ClusterOverridePolicy")
MANAGED_BY_KARMADA = "karmada.io/managed"


class Karmada:
    """Karmada's policies of a repository, sorted by what they are."""

    def __init__(self) -> None:
        self.policies: list[Document] = []
        self.overrides: list[Document] = []

    @property
    def documents(self) -> list[Document]:
        return [*self.policies, *self.overrides]

    def take(self, document: Document) -> bool:
        """Whether the document is one of Karmada's policies, which is then kept."""
        if document.key.group != POLICY_GROUP:
            return False
        kept = self.overrides if document.kind in OVERRIDE_KINDS else self.policies
        kept.append(document)
        return True


def is_karmadas(live: Object) -> bool:
    """Whether Karmada has made an object in a member, which it labels so."""
    labels = map_of(map_of(live.get("metadata")).get("labels"))
    return labels.get(MANAGED_BY_KARMADA) == "true"
