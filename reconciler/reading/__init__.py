"""A repository as this run takes it: fetched, trusted, and its files decoded."""

from reconciler.reading.source_reading import (
    ReadSource,
    SourceRequest,
    check_same_rules,
    read_source,
    request_of,
)
from reconciler.reading.trust import LastApplied, applied_now, check_trust

__all__ = [
    "LastApplied",
    "ReadSource",
    "SourceRequest",
    "applied_now",
    "check_same_rules",
    "check_trust",
    "read_source",
    "request_of",
]
