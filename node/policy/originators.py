"""Who the header says the mail is from: exactly one From, every originator an allowed sender (operations §5).

Rewrites From, Sender and Resent-* by the same table as the envelope, then judges the result. What the strict parser
cannot read is refused, or on a legacy listener replaced by the envelope sender. Knows nothing of other fields.
"""

import re

import msgspec

from node.policy.addresses import AddressError, Grammar, domain_of
from node.policy.admission import Denial, sender_denial
from node.policy.facts import Facts
from node.policy.headers import LINE_BYTES, Field, unfold
from node.policy.mailboxes import Mailbox, parse_mailboxes
from node.policy.rewrite import SenderRewrite

ORIGINATORS = frozenset({b"from", b"sender", b"resent-from", b"resent-sender"})
_EMPTY = frozenset({"", "<>"})
_PHRASE = re.compile(r"[^ !#-\[\]-~]")


class Originators(msgspec.Struct, frozen=True, kw_only=True):
    """The judged originators of a message."""

    header_from: str
    replaced: dict[int, bytes]
    """New octets for fields by their index; empty octets drop the field."""
    added: tuple[bytes, ...] = ()
    """Fields to add: From where it was missing, Reply-To after rewriting."""


class _RefusedError(Exception):
    """Carries a denial out of the parsing helpers; never leaves this file."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.reason)
        self.denial = denial


def judge_originators(found: list[tuple[int, Field]], facts: Facts, *, reply_to: bool) -> Originators | Denial:
    """Judge the originator fields found, with their indexes; ``reply_to``: a Reply-To field is there already."""
    lone = found[0][1] if len(found) == 1 and found[0][1].name == b"from" else None
    if lone is None:
        return _judged(found, facts, reply_to=reply_to)
    memory, utf8 = facts.rules.authors, facts.mail.smtputf8
    known = memory.recall(facts.client, lone.value, lenient=facts.lenient, utf8=utf8)
    if known is not None:
        return known
    outcome = _judged(found, facts, reply_to=reply_to)
    if isinstance(outcome, Originators) and not outcome.replaced and not outcome.added:
        # Left as it was, so nothing but its own text, the client and the grammar had a say in it.
        memory.keep(facts.client, lone.value, outcome, lenient=facts.lenient, utf8=utf8)
    return outcome


def _judged(found: list[tuple[int, Field]], facts: Facts, *, reply_to: bool) -> Originators | Denial:
    try:
        return _judge(found, facts, reply_to=reply_to)
    except _RefusedError as refused:
        return refused.denial


def _judge(found: list[tuple[int, Field]], facts: Facts, *, reply_to: bool) -> Originators:
    replaced: dict[int, bytes] = {}
    authors = [(index, field) for index, field in found if field.name == b"from"]
    senders = sum(field.name == b"sender" for _, field in found)
    if len(authors) > 1:
        raise _refused("two_from", "5.7.1", "there must be exactly one From field")
    if senders > 1:
        raise _refused("two_sender", "5.7.1", "there may be only one Sender field")
    added: tuple[bytes, ...] = ()
    value = unfold(authors[0][1].value) if authors else ""
    if value in _EMPTY:
        header_from, added = _from_envelope(facts, "")
        replaced.update((index, b"") for index, _ in authors)
    else:
        header_from, raw, added = _author(value, facts, several=bool(senders), reply_to=reply_to)
        if raw:
            replaced[authors[0][0]] = raw
    for index, field in found:
        if field.name != b"from":
            _originator(index, field, facts, header_from, replaced)
    return Originators(header_from=header_from, replaced=replaced, added=added)


def _author(value: str, facts: Facts, *, several: bool, reply_to: bool) -> tuple[str, bytes, tuple[bytes, ...]]:
    """Give the From address, the field's new octets (empty: as it was) and fields to add."""
    try:
        mailboxes = parse_mailboxes(value, _grammar(facts))
    except AddressError as error:
        if not facts.lenient:
            raise _refused("bad_from", "5.7.1", f"From cannot be read: {error}") from error
        address, added = _from_envelope(facts, value)
        return address, added[0], ()
    if len(mailboxes) > 1 and (facts.client.checked or not several):
        raise _refused("many_from", "5.7.1", "From must name exactly one mailbox")
    results = [_allowed(box, facts, "From") for box in mailboxes]
    if all(address == box.address and not box.quoted for box, (address, _) in zip(mailboxes, results, strict=True)):
        return results[0][0], b"", ()
    raw = b",".join(_mailbox(box.display, address) for box, (address, _) in zip(mailboxes, results, strict=True))
    kept = () if reply_to else _reply_to(mailboxes[0], results[0][1])
    return results[0][0], _field(b"From", raw), kept


def _reply_to(old: Mailbox, rule: SenderRewrite | None) -> tuple[bytes, ...]:
    if rule is None or not rule.keep_reply_to or not domain_of(old.address):
        return ()
    return (_field(b"Reply-To", _mailbox(old.display, old.address)),)


def _originator(index: int, field: Field, facts: Facts, header_from: str, replaced: dict[int, bytes]) -> None:
    """Judge Sender or Resent-*; one that is empty, or after rewriting says no more than From, is dropped."""
    name = field.name.decode("ascii").title()
    value = unfold(field.value)
    try:
        boxes = parse_mailboxes(value, _grammar(facts)) if value not in _EMPTY else ()
    except AddressError as error:
        if not facts.lenient:
            raise _refused("bad_sender", "5.7.1", f"{name} cannot be read: {error}") from error
        boxes = ()
    if len(boxes) > 1 and field.name != b"resent-from":
        raise _refused("bad_sender", "5.7.1", f"{name} must name exactly one mailbox")
    results = [_allowed(box, facts, name)[0] for box in boxes]
    if not boxes:
        replaced[index] = b""
    elif results != [box.address for box in boxes] or any(box.quoted for box in boxes):
        same = field.name == b"sender" and results == [header_from]
        text = b",".join(_mailbox(box.display, to) for box, to in zip(boxes, results, strict=True))
        replaced[index] = b"" if same else _field(name.encode("ascii"), text)


def _allowed(box: Mailbox, facts: Facts, what: str) -> tuple[str, SenderRewrite | None]:
    address, rule = facts.rules.rewriter.sender(box.address)
    denial = sender_denial(facts.client, address, what)
    if denial is not None:
        raise _RefusedError(denial)
    return address, rule


def _from_envelope(facts: Facts, display: str) -> tuple[str, tuple[bytes, ...]]:
    """From made of the (allowed) envelope sender; an unreadable old value lives on as quoted display name."""
    if not facts.mail.address:
        raise _refused("no_from", "5.6.0", "From is missing and the sender is null")
    phrase = _PHRASE.sub("?", display)[:64].replace("<", "?").replace(">", "?")
    mailbox = _mailbox(f'"{phrase}"' if phrase else "", facts.mail.address)
    return facts.mail.address, (_field(b"From", mailbox),)


def _mailbox(display: str, address: str) -> bytes:
    text = f"{display} <{address}>" if display else f"<{address}>"
    octets = text.encode("utf-8", "surrogateescape")
    return octets if len(octets) < LINE_BYTES - 20 else f"<{address}>".encode()


def _field(name: bytes, value: bytes) -> bytes:
    return name + b": " + value.replace(b">,", b">,\r\n ") + b"\r\n"


def _grammar(facts: Facts) -> Grammar:
    return facts.rules.grammar(lenient=facts.lenient, utf8=facts.mail.smtputf8)


def _refused(reason: str, enhanced: str, text: str) -> _RefusedError:
    return _RefusedError(Denial(code=550, enhanced=enhanced, text=text, reason=reason))
