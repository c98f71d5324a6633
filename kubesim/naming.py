"""What names, labels and annotations may look like, and what the server says otherwise."""

from __future__ import annotations

import re
from typing import Any

from kubesim.kinds import Resource
from kubesim.objects import Object
from kubesim.statuses import FieldFault, invalid_value, required

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used"
    " for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_ERROR = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
    " must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex"
    " used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_ERROR = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',"
    "  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_ERROR = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
    " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
    " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_DNS_1035_ERROR = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
    " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or"
    " 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_FREE_NAMES = frozenset({"rbac.authorization.k8s.io"})


def check_metadata(metadata: Object, resource: Resource) -> list[FieldFault]:
    """Faults in name, labels and annotations."""
    faults: list[FieldFault] = []
    name = metadata.get("name") or ""
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if resource.group not in _FREE_NAMES:
        if resource.table == ("", "namespaces"):
            if not LABEL.fullmatch(name) or len(name) > 63:
                faults.append(invalid_value("metadata.name", name, LABEL_ERROR))
        elif resource.table == ("", "services"):
            # Relaxed to RFC 1123 labels by a feature that is on since v1.36.
            if not LABEL.fullmatch(name) or len(name) > 63:
                faults.append(invalid_value("metadata.name", name, LABEL_ERROR))
        elif not _SUBDOMAIN.fullmatch(name):
            faults.append(invalid_value("metadata.name", name, _SUBDOMAIN_ERROR))
        elif len(name) > 253:
            faults.append(invalid_value("metadata.name", name, "must be no more than 253 bytes"))
    faults += check_labels(metadata.get("labels"), "metadata.labels")
    total = 0
    for key, value in (metadata.get("annotations") or {}).items():
        total += len(key) + len(value)
        if not _qualified(key.lower()):
            faults.append(invalid_value("metadata.annotations", key, _KEY_ERROR))
    if total > 256 * 1024:
        message = "may not be more than 262144 bytes"
        faults.append(
            FieldFault("metadata.annotations", "FieldValueTooLong", f"Too long: {message}")
        )
    return faults


def check_labels(labels: Any, path: str) -> list[FieldFault]:
    """Faults in a map of labels that lies at ``path``."""
    faults: list[FieldFault] = []
    for key, value in (labels or {}).items():
        if not _qualified(key):
            faults.append(invalid_value(path, key, _KEY_ERROR))
        if not isinstance(value, str):
            continue
        if len(value) > 63:
            faults.append(invalid_value(path, value, "must be no more than 63 bytes"))
        elif not _VALUE.fullmatch(value):
            faults.append(invalid_value(path, value, _VALUE_ERROR))
    return faults


def _qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        return False
    return len(name) <= 63 and _QUALIFIED.fullmatch(name) is not None
