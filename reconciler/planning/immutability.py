"""Telling "this field cannot be changed" from other refusals.

A wrong verdict here once deleted live objects in other tools, so it is only ever a question: the
object is recreated when, besides, a rule allows it and the server accepts the new one as new.
"""

from __future__ import annotations

import re

from reconciler.errors import Invalid

_SAYINGS = re.compile(
    r"field is immutable|is immutable|may not (?:be changed|change once set)|"
    r"cannot be changed|"
    r"updates to [\w .,'\"]+ are forbidden|can not be (?:changed|updated)|"
    r"spec is immutable after creation|may not change|Forbidden: updates",
    re.IGNORECASE,
)


def is_immutable(error: Invalid) -> bool:
    """Whether every cause of a 422 says that a field cannot change after creation.

    The wording is that of Kubernetes' own validation; 400s are never about immutability.
    """
    if error.code != 422:
        return False
    messages = [str(cause.get("message", "")) for cause in error.causes] or [str(error)]
    return all(_SAYINGS.search(message) for message in messages)
