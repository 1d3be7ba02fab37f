"""A glance at a header tells what taking it apart tells, or nothing; of one that is at fault it tells nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy.headers import HEADER_BYTES, Header, parse_header
from node.policy.survey import glance, plain_of

PLAIN = b"From: a@b\r\nDate: x\r\nMessage-ID: <1@b>\r\nSubject: s\r\n"
PIECES = [
    *(b"From: a@b", b"From:a@b", b"From : a@b", b"From", b"Frome", b"From\t: x", b"Date: x", b"date:", b":x", b": "),
    *(b"Message-ID: <1@b>", b"Message-ID:<1@b> ", b"Subject: s", b"Content-Type: text/plain", b"Content-Type:\x00"),
    *(b" folded", b"\tFrom: q@r", b" ", b"", b"X-A: \r", b"X-A: a\rb", b"X-A: a\nb", b"\nFrom: a@b", b"X-A: \xff"),
    *(b"X-Long: " + b"x" * 989, b"X-Long: " + b"x" * 990, b"X-Long: " + b"x" * 991),
]


def taken_apart(raw):
    """What the long way tells, with the same end of a Content-Type, which is unfolded by whoever reads it."""
    header = parse_header(raw)
    return plain_of(header) if isinstance(header, Header) else None


def same(raw):
    for _ in range(2):  # the second time its row of names is known
        seen, told = glance(raw), taken_apart(raw)
        assert seen is None or seen._replace(content_type=b"") == told._replace(content_type=b"")
        assert seen is None or seen.content_type == told.content_type.removesuffix(b"\r\n")
    return seen


@settings(deadline=None, max_examples=400)
@given(
    st.lists(st.sampled_from(PIECES), max_size=7),
    st.booleans(),
    st.sampled_from([b"\r\n\r\nbody\r\n", b"\r\n\r\n", b""]),
)
def test_it_tells_the_same_or_nothing(pieces, plain, end):
    assert glance(PLAIN + b"\r\n") is not None or taken_apart(PLAIN + b"\r\n") is not None
    same((PLAIN if plain else b"") + b"\r\n".join(pieces) + end)


@settings(deadline=None)
@given(st.integers(0, len(PLAIN) - 1), st.binary(max_size=3))
def test_a_few_octets_anywhere_in_a_known_header(at, octets):
    same(PLAIN[:at] + octets + PLAIN[at + len(octets) :] + b"\r\nbody\r\n")


def test_a_known_header_is_seen_at_a_glance():
    assert same(PLAIN + b"\r\n").body_at == len(PLAIN) + 2


@pytest.mark.parametrize(
    "raw",
    [
        PLAIN.replace(b"Subject: s", b"Subject s"),
        PLAIN.replace(b"Subject: s", b"Subject"),
        PLAIN.replace(b"Subject: s", b"Subject: s\r\n folded"),
        PLAIN.replace(b"Subject: s", b"Subject: a\nBcc: b"),
        PLAIN.replace(b"Subject: s", b"Subject: a\rb"),
        PLAIN.replace(b"Subject: s", b"Subject: a\0b"),
        PLAIN.replace(b"Subject: s", b"Subject: " + b"x" * 990),
        PLAIN.replace(b"Subject: s", b"Subject: " + b"x" * HEADER_BYTES),
        PLAIN[:-2],
        b"",
    ],
)
def test_what_is_not_quite_so_is_taken_apart(raw):
    same(PLAIN + b"\r\n")
    assert glance(raw + (b"\r\n" if raw.endswith(b"\n") else b"")) is None
