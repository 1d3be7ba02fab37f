"""Paths and parameters of MAIL and RCPT."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.parameters import (
    ParameterError,
    check_auth_parameter,
    decode_xtext,
    encode_xtext,
    parse_envid,
    parse_notify,
    parse_orcpt,
    parse_parameters,
    split_path,
)

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("argument", "path", "rest"),
    [
        ("<a@b.c>", "a@b.c", ""),
        ("<>", "", ""),
        ("<a@b.c> SIZE=1 BODY=7BIT", "a@b.c", "SIZE=1 BODY=7BIT"),
        ('<"a>b"@c.d>', '"a>b"@c.d', ""),
        ("<@r1,@r2:a@b.c>", "a@b.c", ""),
    ],
)
def test_split(argument, path, rest):
    assert split_path(argument) == (path, rest)


@pytest.mark.parametrize(
    "argument", ["", "a@b.c", " <a@b.c>", "<a@b.c", "a@b.c>", "<a@b.c>SIZE=1", "<<a@b.c>>", "<a>b>"]
)
def test_split_refuses(argument):
    with pytest.raises(ParameterError):
        split_path(argument)


@pytest.mark.parametrize("argument", [" <a@b.c>", "a@b.c", "< a@b.c >", "  a@b.c "])
def test_split_forgives_old_devices(argument):
    assert split_path(argument, lenient=True) == ("a@b.c", "")


def test_parameters():
    assert parse_parameters("size=10 SMTPUTF8") == {"SIZE": "10", "SMTPUTF8": ""}
    for bad in ("A=1 a=2", "=x", "A=", "A=b=c", "-x=1", "X" * 41, " ".join(f"a{i}" for i in range(21)), "A=\x01"):
        with pytest.raises(ParameterError):
            parse_parameters(bad)


def test_xtext_is_decoded_once():
    assert decode_xtext("a+2Bb+3D") == "a+b="
    assert decode_xtext("+2B41") == "+41"
    for bad in ("a+", "a+2", "a+2g", "a+0D+0A", "a+00", "a=b", "a b", "a+2b", "+80"):
        with pytest.raises(ParameterError):
            decode_xtext(bad)


@CALM
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50))
def test_xtext_round_trip(text):
    assert decode_xtext(encode_xtext(text)) == text


def test_dsn_words():
    assert parse_orcpt("RFC822;a+2Bb@c.d") == "rfc822;a+2Bb@c.d"
    assert parse_orcpt("utf-8;jörg@c.d") == "utf-8;jörg@c.d"
    assert parse_envid("QQ314159") == "QQ314159"
    assert parse_notify("NEVER") == 0
    assert parse_notify("success,FAILURE") == 3
    for call, bad in (
        (parse_orcpt, "a@b.c"),
        (parse_orcpt, "rfc822;"),
        (parse_orcpt, "rfc822;a+0A"),
        (parse_orcpt, "rfc822;<a@b>"),
        (parse_orcpt, "utf-8;a\u2028"),
        (parse_orcpt, "rfc822;" + "x" * 500),
        (parse_envid, ""),
        (parse_envid, "x" * 101),
        (parse_envid, "x+0D"),
        (parse_notify, "NEVER,SUCCESS"),
        (parse_notify, "SUCCESS,SUCCESS"),
        (parse_notify, ""),
        (check_auth_parameter, "a+0Ab"),
        (check_auth_parameter, "nobody"),
    ):
        with pytest.raises(ParameterError):
            call(bad)
    check_auth_parameter("+3C+3E")
    check_auth_parameter("a@b.c")
