"""What a repository demands of itself, before anything else in it is read."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.manifests import load
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.schema import OWN_GROUP
from reconciler.objects import api_group
from reconciler.source import SourceFile
from reconciler.source.rules import SourceRules, parse_source_rules
from reconciler.source.sops import is_encrypted


def rules_of(files: Iterable[SourceFile], cache: ParseCache | None = None) -> SourceRules:
    """``spec.source`` of the Federation among plain files; defaults where there is none.

    One that does not fit the schema counts as none: reading everything will tell. ``cache``
    spares parsing what was seen before.
    """
    candidates = [
        f for f in files if b"Federation" in f.content and OWN_GROUP.encode() in f.content
    ]
    plain = [file for file in candidates if not is_encrypted(file)]
    for document in load(plain, cache).documents:
        body = document.body
        if body["kind"] == "Federation" and api_group(body["apiVersion"]) == OWN_GROUP:
            return parse_source_rules((body.get("spec") or {}).get("source"))
    return SourceRules()
