"""What a transfer ends in is told by one table; what is not in it is a defect."""

from __future__ import annotations

import pycurl
import pytest

from reconciler.cluster.curl import _FAILURES, NoAnswer, _Body, _failure

CAUSES = {
    "dns", "refused", "timeout", "reset", "tls", "certificate", "proxy", "network", "protocol",
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(_FAILURES))
def test_each_known_code_has_a_cause_and_libcurls_words_where_they_help(code: int) -> None:
    failure = _failure(pycurl.Curl(), _Body(), pycurl.error(code, "said {so}"))
    assert isinstance(failure, NoAnswer)
    assert failure.cause in CAUSES
    assert ("said {so}" in str(failure)) == ("{}" in _FAILURES[code][1])


@pytest.mark.parametrize(
    "code", [pycurl.E_FAILED_INIT, pycurl.E_BAD_FUNCTION_ARGUMENT, pycurl.E_UNKNOWN_OPTION, 12345]
)
def test_any_other_code_goes_on_as_it_is(code: int) -> None:
    error = pycurl.error(code, "said so")
    assert _failure(pycurl.Curl(), _Body(), error) is error
