"""What ``spec.notifications`` may not mean; the schema has checked its form."""

from __future__ import annotations

import re

from reconciler.federation.faults import Faults
from reconciler.manifests.document import Document
from reconciler.objects import Object

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_notifications(document: Document, spec: Object, faults: Faults) -> None:
    """Reports receivers without one place for their address, and such as would never be told.

    What stands there is not repeated: somebody may have put the address itself.
    """
    known: list[Object] = []
    for index, one in enumerate(spec.get("notifications") or ()):
        path = ("spec", "notifications", index)
        place = one["urlFrom"]
        if len(place) != 1:
            faults.problem(
                document,
                (*path, "urlFrom"),
                "both an environment variable and a Secret"
                if place
                else "no place where the address comes from",
                "env: NAME or secretRef: {name, key}",
            )
        elif "env" in place and not _VARIABLE.fullmatch(place["env"]):
            faults.problem(
                document,
                (*path, "urlFrom", "env"),
                "not the name of an environment variable",
                "a name such as SLACK_URL",
                "the address itself is a secret, and does not belong in Git",
            )
        if one.get("on") == []:
            faults.problem(
                document, (*path, "on"), "a receiver that is never told", "an occasion, or no on"
            )
        receiver = {"type": one["type"], "urlFrom": place}
        if receiver in known:
            faults.problem(document, path, "the same receiver twice", "one entry with all of on")
        known.append(receiver)
