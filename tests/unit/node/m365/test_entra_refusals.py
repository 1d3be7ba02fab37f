"""The table of Entra's refusals, row by row, and what no row covers."""

import pytest

from node.m365.errors import AlertReason, TokenRefused, TokenUnavailable
from node.m365.https import bypasses
from node.m365.refusals import ENTRA_CODES, OAUTH_ERRORS, refusal


@pytest.mark.parametrize("code", sorted(ENTRA_CODES))
def test_every_row_gives_its_reason_and_advice(code):
    meaning = ENTRA_CODES[code]
    made = refusal(401, f"Microsoft Entra ID error '(invalid_client) AADSTS{code}: words s3cret'")
    assert made.reason is meaning.reason
    assert isinstance(made, TokenRefused if meaning.permanent else TokenUnavailable)
    assert f"AADSTS{code}" in str(made)
    assert meaning.advice in str(made)
    assert "s3cret" not in str(made)


@pytest.mark.parametrize("error", sorted(OAUTH_ERRORS))
def test_an_oauth_error_counts_where_no_code_is_given(error):
    assert refusal(400, f"error '({error}) words'").reason is OAUTH_ERRORS[error].reason
    assert refusal(400, f"error '{{'error': '{error}'}}'").reason is OAUTH_ERRORS[error].reason


@pytest.mark.parametrize("code", [7000215, 7000222, 700016, 90002])
def test_the_facts_four_are_permanent(code):
    assert not refusal(401, f"AADSTS{code}: x").temporary


def test_unknown_means_temporary():
    made = refusal(401, "'(invalid_client) AADSTS9999999: new'")
    assert (made.reason, made.temporary, "AADSTS9999999" in str(made)) == (AlertReason.UNCLEAR, True, True)
    assert refusal(400, "").reason is AlertReason.UNCLEAR


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_in_trouble_may_say_anything(status):
    assert refusal(status, "(invalid_client) AADSTS7000215").reason is AlertReason.SERVER_ERROR


def test_throttling_keeps_the_time_asked_for():
    made = refusal(429, "", retry_after_s=12.0)
    assert isinstance(made, TokenUnavailable)
    assert (made.reason, made.retry_after_s) == (AlertReason.THROTTLED, 12.0)


@pytest.mark.parametrize(
    ("host", "names", "straight"),
    [
        ("login.microsoftonline.com", (), False),
        ("login.microsoftonline.com", ("microsoftonline.com",), True),
        ("login.microsoftonline.com", (".microsoftonline.com",), True),
        ("login.microsoftonline.com", ("*.microsoftonline.com",), True),
        ("login.microsoftonline.com", ("online.com",), False),
        ("LOGIN.corp.", ("login.corp",), True),
        ("anything", ("*",), True),
        ("anything", ("", " "), False),
    ],
)
def test_no_proxy_names_hosts_and_parents(host, names, straight):
    assert bypasses(host, names) is straight
