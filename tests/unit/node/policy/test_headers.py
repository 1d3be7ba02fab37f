"""The header parser keeps every octet, and takes only what can be read in one way."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.headers import FIELDS, HEADER_BYTES, Header, HeaderFault, parse_header, unfold

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def names(header):
    assert isinstance(header, Header), header
    return [field.name for field in header.fields]


def test_fields_and_body():
    raw = b"From: a@b.c\r\nSUBJECT:x\r\n  y\r\n\tz\r\nX-Empty:\r\n\r\nbody\r\n"
    header = parse_header(raw)
    assert names(header) == [b"from", b"subject", b"x-empty"]
    assert header.fields[1].raw == b"SUBJECT:x\r\n  y\r\n\tz\r\n"
    assert unfold(header.fields[1].value) == "x  y\tz"
    assert unfold(header.fields[2].value) == ""
    assert raw[header.body_at :] == b"body\r\n"


@pytest.mark.parametrize(
    ("raw", "count", "body"),
    [
        (b"", 0, b""),
        (b"\r\nbody\r\n", 0, b"body\r\n"),
        (b"\r\n\r\nbody\r\n", 0, b"\r\nbody\r\n"),
        (b"hello\r\nthere\r\n", 0, b"hello\r\nthere\r\n"),
        (b"hello there: not a field\r\n\r\nx\r\n", 0, b"hello there: not a field\r\n\r\nx\r\n"),
        (b"no header\r\n" * 30_000, 0, b"no header\r\n" * 30_000),
        (b"A: b\r\n", 1, b""),
        (b"A: b\r\n\r\n", 1, b""),
        (b"A: b\r\n\r\n\r\nx\r\n", 1, b"\r\nx\r\n"),
    ],
)
def test_edges(raw, count, body):
    header = parse_header(raw)
    assert len(names(header)) == count
    assert raw[header.body_at :] == body


@pytest.mark.parametrize(
    ("raw", "reason", "line"),
    [
        (b"A: b\r\nno field\r\n\r\n", "malformed", 2),
        (b"A: b\r\nFrom : x@y.z\r\n\r\n", "malformed", 2),
        (b"A: b\r\nFrom\r\n : x@y.z\r\n\r\n", "malformed", 2),
        (b" A: b\r\n\r\n", "malformed", 1),
        (b"A: b\r\n: x\r\n\r\n", "malformed", 2),
        (b"A: b\r\nF\xc3\xb6: x\r\n\r\n", "malformed", 2),
        (b"A: b\r\n \t\r\nB: c\r\n\r\n", "malformed", 2),
        (b"A: b\x00\r\n\r\n", "bad_octet", 1),
        (b"A: b\r\nB: c\rFrom: x\r\n\r\n", "bad_octet", 2),
        (b"A: b\nFrom: x\r\n\r\n", "bad_octet", 1),
        (b"A: b\r\n c\nFrom: x\r\n\r\n", "bad_octet", 2),
        (b"A: b\r\nB: " + b"x" * 996 + b"\r\n\r\n", "long_line", 2),
        (b"A: b\r\n" * (FIELDS + 1) + b"\r\n", "too_many_fields", 0),
        (b"A: b\r\n" * (HEADER_BYTES // 6 + 2), "too_large", 0),
        (b"A: " + b"x" * HEADER_BYTES + b"\r\n\r\n", "too_large", 0),
        (b" A: b\r\n" * (HEADER_BYTES // 7 + 2), "too_large", 0),
    ],
)
def test_faults(raw, reason, line):
    assert parse_header(raw) == HeaderFault(reason, line)


def test_longest_line_and_block_are_exact():
    assert names(parse_header(b"A: " + b"x" * 995 + b"\r\n\r\n")) == [b"a"]
    block = (b"A: " + b"x" * 995 + b"\r\n") * (HEADER_BYTES // 1000)
    rest = HEADER_BYTES - len(block) - 5
    exact = block + b"B: " + b"x" * rest + b"\r\n"
    assert len(exact) == HEADER_BYTES
    assert names(parse_header(exact + b"\r\nbody"))
    assert parse_header(exact.replace(b"B: ", b"B: x", 1) + b"\r\nbody") == HeaderFault("too_large", 0)


def test_lenient_takes_what_old_devices_send():
    header = parse_header(
        b"From : x@y.z\r\nA: " + b"x" * 2000 + b"\r\n \r\n c\r\nbroken\r\nFrom: evil@x.y\r\n\r\n", lenient=True
    )
    assert names(header) == [b"from", b"a"]
    assert header.body_at > 2000, "the header ends before the line that is no field; nothing after it is header"


name_text = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=12)
line_bytes = st.binary(max_size=30).map(lambda octets: octets.translate(None, b"\r\n\x00"))
fields_drawn = st.builds(
    lambda name, first, folds: (
        name.encode() + b":" + first + b"\r\n" + b"".join(b" x" + fold + b"\r\n" for fold in folds)
    ),
    name_text,
    line_bytes,
    st.lists(line_bytes, max_size=3),
)


@CALM
@given(st.lists(fields_drawn, max_size=8), st.binary(max_size=20))
def test_byte_exact(fields, body):
    raw = b"".join(fields) + b"\r\n" + body
    header = parse_header(raw)
    assert isinstance(header, Header)
    assert [field.raw for field in header.fields] == fields
    assert raw[header.body_at :] == body


@CALM
@given(st.text("aF:  \t\r\n\x00b", max_size=60), st.booleans())
def test_any_octets_are_taken_apart_without_loss_or_refused(text, lenient):
    raw = text.encode()
    header = parse_header(raw, lenient=lenient)
    if isinstance(header, HeaderFault):
        return
    block = b"".join(field.raw for field in header.fields)
    assert raw.startswith(block)
    assert raw[len(block) : header.body_at] in {b"", b"\r\n"}
    assert b"\x00" not in block
    assert not set(block.replace(b"\r\n", b"")) & set(b"\r\n")
