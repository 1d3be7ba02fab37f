"""Content after DATA: only CRLF.CRLF ends it, stuffing comes out, whatever the chunks."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rehearsal.simulator.content import Content, Unstuffer
from node.rehearsal.simulator.headers import read_headers

CASES = [
    (b".\r\n", b"", b""),
    (b"a\r\n.\r\n", b"a\r\n", b""),
    (b"a\r\n..b\r\n.\r\nQUIT\r\n", b"a\r\n.b\r\n", b"QUIT\r\n"),
    (b"..\r\n.\r\n", b".\r\n", b""),
    (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n", b""),
    (b"a\r.\r\nb\n.\r\nc\r\n.\r\n", b"a\r.\r\nb\n.\r\nc\r\n", b""),
    (b"a\r\n.\r.\r\n.\r\n", b"a\r\n.\r.\r\n", b""),
    (b"a\r\n...\r\n.\r\n", b"a\r\n..\r\n", b""),
]


def read(chunks):
    unstuffer, content, seen = Unstuffer(), Content(), b""
    for number, chunk in enumerate(chunks):
        data, rest = unstuffer.feed(chunk)
        content.add(data)
        seen += data
        if rest is not None:
            return seen, rest + b"".join(chunks[number + 1 :]), content
    return seen, None, content


@pytest.mark.parametrize(("wire", "plain", "rest"), CASES)
def test_whole_and_byte_by_byte(wire, plain, rest):
    for chunks in ([wire], [wire[n : n + 1] for n in range(len(wire))]):
        seen, left, content = read(chunks)
        assert (seen, left) == (plain, rest)
        assert content.sha256() == hashlib.sha256(plain).hexdigest()
        assert content.size_bytes == len(plain)


@given(st.lists(st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"ab"]), max_size=30), st.integers(1, 7))
def test_any_content_survives_any_chunking(parts, size):
    plain = b"".join(parts) + b"\r\n"
    stuffed = (b"\r\n" + plain).replace(b"\r\n.", b"\r\n..")[2:]
    wire = stuffed + b".\r\n"
    seen, left, content = read([wire[n : n + size] for n in range(0, len(wire), size)])
    assert (seen, left) == (plain, b"")
    assert content.bare_line_feed == (plain.count(b"\n") != plain.count(b"\r\n"))


def test_long_lines_are_noticed_across_chunks():
    content = Content()
    content.add(b"x" * 600)
    content.add(b"x" * 600 + b"\r\n")
    assert content.long_lines == 1


def test_header_fields_are_found_folded_and_in_any_case():
    headers = read_headers(
        b'FROM: "Doe, Jane"\r\n <Jo@Contoso.com>\r\nsubject: a\r\n\tb\r\nX-Rehearsal-Id: r-1\r\n\r\nFrom: not@this\r\n'
    )
    assert headers.froms == ("jo@contoso.com",)
    assert headers.subject == "a b"
    assert headers.rehearsal_id == "r-1"
    assert headers.from_fields == 1
