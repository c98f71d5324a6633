"""A receiver's address is read, and used, only as the job allows."""

from __future__ import annotations

import base64
from typing import Any, cast

import pytest

from reconciler.cluster.client import Member
from reconciler.cluster.connect import OTHER_NAMESPACES, PLAIN_HTTP
from reconciler.federation.model import SecretReference
from reconciler.report.after_run import ReportChannels, address_of
from reconciler.report.delivery import NotDelivered
from reconciler.report.notifications import Receiver


class Host:
    """A host cluster with one Secret in any namespace."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, *_: Any) -> dict[str, Any]:
        return {"data": {"url": base64.b64encode(self.url.encode()).decode()}}


def find(url: str, namespace: str = "", *allow: str) -> str:
    around = ReportChannels(
        host=lambda: cast("Member", Host(url)),
        namespace="federation-system",
        own_namespace="federation-system",
        allow=frozenset(allow),
    )
    return address_of(Receiver("Webhook", secret=SecretReference("hook", namespace, "url")), around)


def test_a_secret_of_another_namespace_is_read_only_where_the_job_allows_it() -> None:
    assert find("https://there") == "https://there"
    with pytest.raises(NotDelivered, match="--allow-access other-namespaces"):
        find("https://there", "payments")
    assert find("https://there", "payments", OTHER_NAMESPACES) == "https://there"


@pytest.mark.parametrize("url", ["http://c4nary", "HTTP://c4nary", " http://c4nary"])
def test_an_address_in_the_clear_is_used_only_where_the_job_allows_it(url: str) -> None:
    with pytest.raises(NotDelivered, match="--allow-access plain-http") as caught:
        find(url)
    assert "c4nary" not in str(caught.value)
    assert find(url, "", PLAIN_HTTP) == url.strip()
