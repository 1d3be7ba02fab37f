"""Finishes a message: hygiene, policy on its header, and the fields it must have, in one pass (design §5.2).

Every field not named here keeps its octets and its place. Knows nothing of the body, of storage or of the session.
"""

import re

import msgspec

from node.policy.admission import Denial, recipient_denial
from node.policy.envelope import NewMessage, Recipient
from node.policy.facts import Facts
from node.policy.headers import Field, Header, HeaderFault, parse_header, unfold, without_blank_folds
from node.policy.originators import ORIGINATORS, judge_originators
from node.policy.returned import is_returned
from node.policy.stamp import is_own, mail_date, received_field
from node.policy.survey import DROPPED, DROPPED_PREFIXES, RARE, Plain, Survey, glance, plain_of, survey_of

TRACESTATE_CHARS = 512
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(r"[ -~]*")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,980}>")
_PLAIN_ID = re.compile(rb"[ \t]*(<[!-;=?-~]{1,980}>)[ \t]*\r\n")
_SIGNED = re.compile(r"(?:multipart/(?:signed|encrypted)|application/(?:x-)?pkcs7-(?:mime|signature))\b", re.IGNORECASE)
__all__ = ["DROPPED", "DROPPED_PREFIXES", "Finished", "finish_headers", "new_message"]
_FAULTS = {
    "too_large": (552, "5.3.4", "the header is larger than 256 KiB"),
    "too_many_fields": (552, "5.3.4", "the header has more than 1000 fields"),
    "bad_octet": (554, "5.6.0", "the header holds NUL, a bare CR or a bare LF"),
    "long_line": (554, "5.6.0", "the header has a line longer than allowed"),
    "malformed": (554, "5.6.0", "the header has a line that is no field"),
}


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A message ready to be kept: its new header, and what the header told."""

    header: bytes
    """The finished header with the blank line; the message is this and ``raw[body_at:]``."""
    body_at: int
    header_from: str
    message_id: str
    tenant: str
    recipients: tuple[Recipient, ...]
    no_bounce: bool
    signed: bool
    eight_bit: bool
    """The header holds octets above 127."""
    traceparent: str
    """Valid context of a trusted client, else empty."""
    tracestate: str


def finish_headers(raw: bytes, facts: Facts) -> Finished | Denial:
    """Judge and finish the header of ``raw``: the whole message, or its first HEADER_BYTES octets and more."""
    if is_returned(facts.rules.returns, facts.client.name, facts.recipients):
        return _as_it_is(raw, facts)
    seen = None if facts.lenient else glance(raw)
    finished = _finish_plain(raw, seen, facts) if seen is not None else None
    if finished is not None:
        return finished
    header = parse_header(raw, lenient=facts.lenient)
    if isinstance(header, HeaderFault):
        return _fault(header)
    plain = None if facts.lenient or seen is not None else plain_of(header)
    return (_finish_plain(raw, plain, facts) if plain is not None else None) or _finish(header, facts)


def _as_it_is(raw: bytes, facts: Facts) -> Finished | Denial:
    """Mail for the return path ends here: its header is read by whoever reads reports, and by nobody else."""
    if len(facts.recipients) != 1:
        return Denial(code=554, enhanced="5.5.0", text="mail for the return path goes by itself", reason="return_path")
    return Finished(
        header=raw,
        body_at=len(raw),
        header_from="",
        message_id="",
        tenant=facts.mail.tenant,
        recipients=facts.recipients,
        no_bounce=True,
        signed=False,
        eight_bit=not raw.isascii(),
        traceparent="",
        tracestate="",
    )


def _finish_plain(raw: bytes, plain: Plain, facts: Facts) -> Finished | Denial | None:
    """Finish what nearly all mail is: every field stays as it is, and From was judged before. None: go the long way."""
    client, mail = facts.client, facts.mail
    if client.redirect or not mail.address:
        return None
    known = facts.rules.authors.recall(client, plain.author, utf8=mail.smtputf8)
    message_id = _PLAIN_ID.fullmatch(plain.message_id)
    if known is None or message_id is None or not raw.endswith(b"\r\n\r\n", 0, plain.body_at):
        return None
    envelope = _envelope(facts, known.header_from)
    if isinstance(envelope, Denial):
        return envelope
    block = received_field(facts) + raw[: plain.body_at]
    return Finished(
        header=block,
        body_at=plain.body_at,
        header_from=known.header_from,
        message_id=message_id[1].decode("ascii"),
        tenant=envelope[0],
        recipients=envelope[1],
        no_bounce=False,
        signed=bool(plain.content_type) and _SIGNED.match(unfold(plain.content_type)) is not None,
        eight_bit=not block.isascii(),
        traceparent="",
        tracestate="",
    )


def _finish(header: Header, facts: Facts) -> Finished | Denial:
    """The long way: field by field."""
    survey = survey_of(header)
    noted = survey.noted
    denial = _loop(noted.get(b"received", []), facts)
    if denial is not None:
        return denial
    found = noted.get(b"from", [])
    if noted.keys() & RARE:
        found = [item for name in ORIGINATORS if name in noted for item in noted[name]]
    originators = judge_originators(found, facts, reply_to=b"reply-to" in noted)
    if isinstance(originators, Denial):
        return originators
    for index, octets in originators.replaced.items():
        survey.pieces[index] = octets
    if facts.lenient:
        survey.pieces = [without_blank_folds(piece) for piece in survey.pieces]
    envelope = _envelope(facts, originators.header_from)
    if isinstance(envelope, Denial):
        return envelope
    tenant, recipients = envelope
    message_id, added = _missing(survey, facts)
    pieces = [received_field(facts), *survey.pieces, *originators.added, *added, _redirected(facts), b"\r\n"]
    block = b"".join(pieces)
    traceparent, tracestate = _trace(survey.dropped, facts)
    return Finished(
        header=block,
        body_at=header.body_at,
        header_from=originators.header_from,
        message_id=message_id,
        tenant=tenant,
        recipients=recipients,
        no_bounce=not facts.mail.address or survey.listed or _automatic(noted),
        signed=any(_SIGNED.match(unfold(field.value)) is not None for _, field in noted.get(b"content-type", ())),
        eight_bit=not block.isascii(),
        traceparent=traceparent,
        tracestate=tracestate,
    )


def new_message(
    facts: Facts,
    finished: Finished,
    *,
    body_bytes: int,
    eight_bit: bool,
    traceparent: str = "",
    source: str = "",
    listener: str = "",
    held: bool = False,
) -> NewMessage:
    """Put together what the spool keeps; ``body_bytes`` and ``eight_bit`` speak of the body alone."""
    client, mail = facts.client, facts.mail
    return NewMessage(
        id=facts.id,
        client=client.name,
        plan=client.plan,
        mail_from=mail.address,
        header_from=finished.header_from,
        tenant=finished.tenant,
        recipients=finished.recipients,
        size_bytes=len(finished.header) + body_bytes,
        received_ms=facts.now_ms,
        expires_ms=facts.now_ms + int(client.expire_s * 1000),
        message_id=finished.message_id,
        original_mail_from=mail.original if mail.original != mail.address else "",
        envid=mail.envid,
        ret=mail.ret,
        eight_bit=eight_bit or finished.eight_bit,
        smtputf8=mail.smtputf8 and _needs_smtputf8(facts, finished),
        priority=mail.priority,
        on_unknown=client.on_unknown,
        copies=client.copies,
        held=held,
        no_bounce=finished.no_bounce,
        signed=finished.signed,
        owner=client.owner,
        traceparent=traceparent,
        source=source,
        listener=listener,
    )


def _needs_smtputf8(facts: Facts, finished: Finished) -> bool:
    """SMTPUTF8 is asked of the upstream only when something needs it (facts m365 §7)."""
    addresses = (facts.mail.address, *(recipient.address for recipient in finished.recipients))
    return finished.eight_bit or not all(address.isascii() for address in addresses)


def _fault(fault: HeaderFault) -> Denial:
    code, enhanced, text = _FAULTS[fault.reason]
    place = f" (line {fault.line})" if fault.line else ""
    return Denial(code=code, enhanced=enhanced, text=text + place, reason=f"header_{fault.reason}")


def _loop(received: list[tuple[int, Field]], facts: Facts) -> Denial | None:
    rules = facts.rules
    own = sum(is_own(rules, field.value) for _, field in received)
    if own < rules.own_hops and len(received) <= rules.hops:
        return None
    text = f"routing loop: {own} passes through this relay, {len(received)} hops"
    return Denial(code=554, enhanced="5.4.6", text=text, reason="loop")


def _envelope(facts: Facts, header_from: str) -> tuple[str, tuple[Recipient, ...]] | Denial:
    """Settle the tenant (From decides, then the envelope sender), and each address once."""
    tenant = facts.rules.domains.tenant_of(header_from, facts.mail.address)
    recipients = facts.recipients
    if len(recipients) > 1:
        unique: dict[str, Recipient] = {}
        for recipient in recipients:
            unique.setdefault(recipient.address.lower(), recipient)
        recipients = tuple(unique.values())
    if tenant == facts.mail.tenant:
        return tenant, recipients
    domains = facts.rules.domains
    moved = tuple(
        msgspec.structs.replace(item, direction=domains.direction(item.address, tenant)) for item in recipients
    )
    denials = (recipient_denial(facts.client, item.address, item.direction) for item in moved)
    return next((denial for denial in denials if denial is not None), (tenant, moved))


def _missing(survey: Survey, facts: Facts) -> tuple[str, list[bytes]]:
    """Give the Message-ID in force, and Message-ID and Date where they are missing; an unusable one is replaced."""
    added: list[bytes] = []
    message_id = ""
    for index, field in survey.noted.get(b"message-id", ()):
        found = _MESSAGE_ID.search(unfold(field.value))
        if message_id or found is None:
            survey.pieces[index] = b""
        else:
            message_id = found[0]
    if not message_id:
        message_id = f"<{facts.id}@{facts.rules.hostname}>"
        added.append(f"Message-ID: {message_id}\r\n".encode("ascii"))
    if b"date" not in survey.noted:
        added.append(f"Date: {mail_date(facts.now_ms)}\r\n".encode("ascii"))
    return message_id, added


def _redirected(facts: Facts) -> bytes:
    """The recipients a redirected message was meant for, one a line (operations M3)."""
    if not facts.client.redirect:
        return b""
    meant = dict.fromkeys(recipient.original or recipient.address for recipient in facts.recipients)
    return b"X-Original-To: " + ",\r\n ".join(meant).encode() + b"\r\n"


def _trace(dropped: dict[bytes, list[Field]], facts: Facts) -> tuple[str, str]:
    """The client's trace context if it is trusted, and there is exactly one valid one (W3C Trace Context §3)."""
    parents = dropped.get(b"traceparent", [])
    if not facts.client.trace or len(parents) != 1:
        return "", ""
    parent = unfold(parents[0].value)
    if _TRACEPARENT.fullmatch(parent) is None:
        return "", ""
    state = ",".join(unfold(field.value) for field in dropped.get(b"tracestate", ()))
    usable = len(state) <= TRACESTATE_CHARS and _TRACESTATE.fullmatch(state) is not None
    return parent, state if usable else ""


def _automatic(noted: dict[bytes, list[tuple[int, Field]]]) -> bool:
    """Auto-submitted, list or report-shy mail gets no report (RFC 3834 §2, operations §5)."""
    for _, field in noted.get(b"auto-submitted", ()):
        if unfold(field.value).partition(";")[0].partition("(")[0].strip().lower() != "no":
            return True
    for _, field in noted.get(b"precedence", ()):
        if unfold(field.value).lower() in {"bulk", "list", "junk"}:
            return True
    for _, field in noted.get(b"x-auto-response-suppress", ()):
        if {"all", "ndr"} & {word.strip() for word in unfold(field.value).lower().split(",")}:
            return True
    return False
