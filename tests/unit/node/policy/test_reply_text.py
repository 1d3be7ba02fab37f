"""Replies as values: enhanced codes split off, brackets kept apart, nothing that could forge a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.reply import MAX_TEXT_CHARS, PRINTABLE_CHARS, Reply, printable, reply_from, stripped


@pytest.mark.parametrize(
    ("message", "enhanced", "text"),
    [
        (b"5.7.64 TenantAttribution; Relay Access Denied", "5.7.64", "TenantAttribution; Relay Access Denied"),
        ("2.0.0 OK <a@b> [Hostname=X.PROD]", "2.0.0", "OK <a@b> [Hostname=X.PROD]"),
        ("5.1.1 first\n5.1.1 second", "5.1.1", "first second"),
        ("5.1.1 first\r\n5.1.2 other", "5.1.1", "first 5.1.2 other"),
        ("plain words", "", "plain words"),
        ("first line\n5.5.1 second", "5.5.1", "first line second"),
        ("5.7.139", "5.7.139", ""),
        ("5.7.1390 no code", "", "5.7.1390 no code"),
        ("3.7.1 no class", "", "3.7.1 no class"),
        ("", "", ""),
        (b"\xff\xfe caf\xc3\xa9", "", "\ufffd\ufffd café"),
        ("5.0.0 a\x00b\x1b[31mc\u202ed\te", "5.0.0", "a?b?[31mc?d e"),
    ],
)
def test_lines_become_one_reply(message, enhanced, text):
    assert reply_from(550, message) == Reply(code=550, enhanced=enhanced, text=text)


def test_brackets_at_the_end_go_inner_ones_stay():
    assert stripped("a [x] b [HOST 2026 08] [Hostname=Y]") == "a [x] b"
    assert stripped("[only]") == ""
    assert stripped("open [bracket") == "open [bracket"


@given(st.text(), st.integers(0, 600))
def test_printable_is_one_short_harmless_line(text, limit):
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert shown == "" or shown.isprintable()


@given(st.binary(max_size=6000), st.integers(0, 999))
def test_any_bytes_make_a_bounded_printable_reply(message, code):
    reply = reply_from(code, message)
    assert len(reply.text) <= MAX_TEXT_CHARS
    assert reply.text == "" or reply.text.isprintable()
    assert len(stripped(reply.text)) <= len(reply.text)


def test_a_million_characters_are_cut():
    assert len(printable("x" * 1_000_000)) == PRINTABLE_CHARS
    assert len(stripped("a" + "[x]" * 500)) == 1
