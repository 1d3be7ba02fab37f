"""Readers of what clients and Microsoft send: addresses, headers, data, reports, replies."""

from contextlib import suppress
from random import Random
from zlib import crc32

from node.intake.incoming import CLOSING, DataReader
from node.intake.proxy import MAX_V1_BYTES, MAX_V2_BYTES, ProxyError, parse_proxy
from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.classify import Classifier
from node.policy.encoded_words import UndecodableError, decoded_words
from node.policy.headers import Header, parse_header, unfold
from node.policy.http_reply import answer_reply, before_reply
from node.policy.mailboxes import parse_mailboxes
from node.policy.ndr.read import read_notice
from node.policy.ndr.values import Notice
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
from node.policy.reply import MAX_TEXT_CHARS, Stage, reply_from
from node.policy.survey import glance, plain_of, survey_of
from node.telemetry.context import parse, render
from tests.fuzz.target import Target, pure
from tests.support.ndrs import exchange_ndr, plain_ndr

GRAMMARS = (Grammar(), Grammar(utf8=True), Grammar(lenient=True), Grammar(utf8=True, lenient=True))
ADDRESS_WORDS = (b"@", b"<", b">", b'"', b"\\", b"(", b")", b",", b";", b":", b"..", b"[127.0.0.1]", b"[IPv6:::1]",
                 b"xn--", "é".encode(), b"\xed\xa0\x80", b"=?utf-8?q?=40?=", b"a@b.c", b"undisclosed: ;", b"\t",
                 b"\0")  # fmt: skip
CLASSIFIER = Classifier()
PATHS = ("mailbox", "connector", "direct", "graph", "smarthost")
STAGES = tuple(Stage)


def cut(data: bytes) -> list[bytes]:
    """The same octets in pieces, always the same ones."""
    chance, at, pieces = Random(crc32(data)), 0, []
    while at < len(data):
        size = chance.choice((1, 2, 3, 5, 17, 200, 4_000))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def addresses(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for grammar in GRAMMARS:
        try:
            found = parse_address(text, grammar)
        except AddressError:
            continue
        assert found.count("@") >= 1
        assert not set(found) & set("\r\n\0<>"), "an address that opens another command"
        assert parse_address(found, grammar) == found, "what was read reads otherwise the second time"


def mailboxes(data: bytes) -> None:
    value = unfold(data)
    for grammar in GRAMMARS:
        try:
            found = parse_mailboxes(value, grammar)
        except AddressError:
            continue
        assert found
        assert all(parse_address(one.address, grammar) == one.address for one in found)


def paths(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for lenient in (False, True):
        try:
            _, rest = split_path(text, lenient=lenient)
            found = parse_parameters(rest)
        except ParameterError:
            continue
        for value in found.values():
            _parameter(value)


def _parameter(value: str) -> None:
    for reader in (parse_envid, parse_orcpt, parse_notify, check_auth_parameter, decode_xtext):
        try:
            found = reader(value)
        except ParameterError:
            continue
        if reader is decode_xtext:
            assert decode_xtext(encode_xtext(found)) == found


def header(data: bytes) -> None:
    for lenient in (False, True):
        found = parse_header(data, lenient=lenient)
        if not isinstance(found, Header):
            continue
        fields = found.fields
        assert b"".join(one.raw for one in fields) == data[: sum(len(one.raw) for one in fields)], "octet for octet"
        survey_of(found)
        for one in fields:
            _words(unfold(one.value))
        if not lenient:
            quick = glance(data)
            assert quick is None or quick == plain_of(found), "the quick look sees something else"


def _words(value: str) -> None:
    with suppress(UndecodableError):
        assert all(char.isprintable() or char == "\t" for char in decoded_words(value)) or "=?" not in value


def data_end(data: bytes) -> None:
    """However it is cut, a message is the same; only CRLF.CRLF ends it; and a slow reader finds the same text."""
    for normalise in (False, True):
        whole, kept, rest = _read([data], normalise)
        pieces, again, left = _read(cut(data), normalise)
        assert (whole.done, whole.fault is None) == (pieces.done, pieces.fault is None)
        assert (whole.fault in CLOSING) == (pieces.fault in CLOSING)
        if whole.fault is not None:
            continue
        assert (kept, rest) == (again, left)
        if whole.done and not normalise:
            assert (kept, rest) == _slowly(data)


def _read(pieces: list[bytes], normalise: bool) -> tuple[DataReader, bytes, bytes]:
    reader, body, rest = DataReader(1 << 20, normalise=normalise), [], b""
    for piece in pieces:
        if reader.done:
            rest += piece
        else:
            reader.feed(piece)
            body += reader.take_body()
    return reader, reader.header + b"".join(body), reader.rest + rest


def _slowly(data: bytes) -> tuple[bytes, bytes]:
    """RFC 5321 §4.5.2 line by line."""
    kept, at = b"", 0
    while True:
        end = data.index(b"\r\n", at) + 2
        line, at = data[at:end], end
        if line == b".\r\n":
            return kept, data[at:]
        kept += line.removeprefix(b".")


def proxy(data: bytes) -> None:
    try:
        found = parse_proxy(data)
    except ProxyError:
        return
    if found is None:
        assert len(data) < max(MAX_V1_BYTES, MAX_V2_BYTES), "more is asked for than a header may have"
        return
    assert 0 < found.consumed <= len(data)
    assert parse_proxy(data[: found.consumed]) == found, "what follows the header changes it"
    assert all(_waits(data[:end]) for end in range(found.consumed)), "a part of a header is a header"


def _waits(start: bytes) -> bool:
    return parse_proxy(start) is None


def report(data: bytes) -> None:
    found = read_notice(data)
    if not isinstance(found, Notice):
        return
    assert found.recipients
    for one in found.recipients:
        for reply in filter(None, (getattr(one, "reply", None),)):
            CLASSIFIER.classify("mailbox", Stage.NDR, reply)


def replies(data: bytes) -> None:
    """One reply on one path at one stage, all named by the first octets; then the same words from Graph."""
    code, text = int.from_bytes(data[:2], "big") % 700, data[4:]
    path, stage = (
        PATHS[data[2] % len(PATHS)] if data[2:] else PATHS[0],
        STAGES[data[3] % len(STAGES)] if data[3:] else Stage.DOT,
    )
    found = reply_from(code, text)
    assert len(found.text) <= MAX_TEXT_CHARS
    verdict = CLASSIFIER.classify(path, stage, found, last_reason="x", last_reply=str(found), attempts=3)
    assert verdict.reason
    word, readable = text.decode("utf-8", "replace"), bool(code % 2)
    for http in (answer_reply(code, word[:20], word, readable=readable),
                 before_reply(code, word[:20], word, readable=readable, step="draft")):  # fmt: skip
        assert http.text.isprintable() or not http.text, "foreign text is shown as it came"
    CLASSIFIER.classify("graph", Stage.HTTP, http)


def trace(data: bytes) -> None:
    found = parse(data.decode("utf-8", "surrogateescape"))
    assert found is None or parse(render(found)) == found


PLAIN = b"From: app@contoso.com\r\nTo: a@example.com\r\nSubject: x\r\nMessage-ID: <1@contoso.com>\r\n"
TARGETS = (
    Target(name="addresses", open=pure(addresses), watched=("node/policy",), tokens=ADDRESS_WORDS, input_max=600,
           seeds=(b"a@example.com", b'"a b"@example.com', b"a@[192.0.2.1]", "ü@exämple.com".encode(), b"a.b+c@x.y")),
    Target(name="mailboxes", open=pure(mailboxes), watched=("node/policy",), tokens=ADDRESS_WORDS,
           seeds=(b"a@b.c", b'"A, B" <a@b.c>, (note) d@e.f', b"=?utf-8?q?=C3=A9?= <a@b.c>", b"Group: a@b.c;")),
    Target(name="paths", open=pure(paths), watched=("node/policy",), tokens=(*ADDRESS_WORDS, b" SIZE=1",
           b" NOTIFY=NEVER",
           b" ORCPT=rfc822;a+40b", b" ENVID=x", b" AUTH=<>", b" BODY=8BITMIME", b" RET=HDRS", b"+3D", b"=", b" "),
           seeds=(b"<a@b.c> SIZE=100 BODY=8BITMIME", b"<> RET=FULL ENVID=a+2Bb", b"<@x,@y:a@b.c> AUTH=<>",
                  b"<a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;a@b.c")),
    Target(name="header", open=pure(header), watched=("node/policy",),
           tokens=(b"\r\n", b"\r\n ", b"\r\n\r\n", b":", b"\n", b"\r", b"\0", b"From:", b"Bcc: x\r\n",
           b"Content-Type: "),
           seeds=(PLAIN + b"\r\nbody", PLAIN + b"Content-Type: text/plain\r\n\r\nx", b"A: b\r\n c\r\n\r\n",
           b"no header\r\n")),
    Target(name="data", open=pure(data_end), watched=("node/intake",), input_max=8_192,
           tokens=(b"\r\n.\r\n", b"\n.\n", b"\r\n.", b"\r", b"\n", b"\r\n\r\n", b"..", b"\0", b"\r\n.\n", b"x" * 1_100),
           seeds=(PLAIN + b"\r\nhello\r\n.\r\nQUIT\r\n", b"A: b\r\n\r\n..x\r\n...\r\n.y\r\n.\r\n", b".\r\n",
                  b"A: b\r\n\r\n" + b"YWJj" * 19 + b"\r\n" * 40 + b".\r\n",
                  b"A: b\r\n\r\n" + (b"Y" * 76 + b"\r\n") * 40 + b".\r\n")),
    Target(name="proxy", open=pure(proxy), watched=("node/intake",), input_max=1_200,
           tokens=(b"PROXY ", b"TCP4", b"TCP6", b"UNKNOWN", b"\r\n", b"\r\n\r\n\0\r\nQUIT\n", b"\x21\x11", b"\0\x0c",
           b"::1"),
           seeds=(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n", b"PROXY UNKNOWN\r\n",
                  b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12), b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(36),
                  b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")),
    Target(name="reports", open=pure(report), watched=("node/policy",), input_max=16_384,
           tokens=(b"\r\n", b"--b\r\n", b"--b--\r\n", b"Content-Type: message/delivery-status\r\n",
           b"Action: failed\r\n",
                   b"Status: 5.1.1\r\n", b"Content-Transfer-Encoding: base64\r\n",
                   b"Final-Recipient: rfc822; a@b.c\r\n",
                   b"Content-Type: message/rfc822\r\n\r\n", b'boundary="b"', b"=?x?b?", b"quoted-printable",
                   b"\r\n\r\n"),
           seeds=(exchange_ndr(to="r@contoso.com", recipient="a@example.com"),
                  plain_ndr("r@contoso.com", [("a@example.com", "5.1.1", "550 5.1.1 no such user")]),
                  PLAIN + b"Auto-Submitted: auto-replied\r\n\r\nvacation\r\n")),
    Target(name="replies", open=pure(replies), watched=("node/policy",), input_max=1_024,
           tokens=(b"5.7.60 SendAsDenied; ", b"4.3.2 ", b"5.1.10", b"\r\n", b"STOREDRV.Submission.Exception:", b"[x]",
                   b"Concurrent connections limit", b"Hop count exceeded", b"5.7.708", b"5.2.3", b"ErrorSendAsDenied"),
           seeds=(b"\x02\x26\0\x06" + b"5.7.60 SMTP; Client does not have permissions to send as this sender",
                  b"\x01\xc2\0\x09" + b"4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", b"\0\xca\3\x0a",
                  b"\x01\xad\1\x07")),
    Target(name="traceparent", open=pure(trace), watched=("node/telemetry",), input_max=120,
           seeds=(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           b"ff-" + b"1" * 32 + b"-" + b"2" * 16 + b"-00")),
)  # fmt: skip
