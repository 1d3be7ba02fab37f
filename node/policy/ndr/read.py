"""From the octets of a message to what it reports (RFC 3464), or to the word why it reports nothing.

The first delivery-status part outside the returned message counts, however the parts around it are nested: mail-flow
rules add disclaimers around reports. What stands inside the returned message is the sender's own text and never a
report. Everything else is bounded by ``mime``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.ndr.mime import Fields, Part, Walk, decoded, fields_of, first
from node.policy.ndr.values import NoNotice, Notice, Returned, Said
from node.policy.ndr.words import diagnostic, status_code
from node.policy.reply import printable

STATUS_BYTES: Final = 1 << 20
RECIPIENTS_MAX: Final = 1_000
"""Envelope recipients of one message at Exchange (facts m365 §2.1)."""
RETURNED_BYTES: Final = 64 << 10
IDS_MAX: Final = 20
ADDRESSED_MAX: Final = 20
STATUS_KINDS: Final = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED_KINDS: Final = frozenset(
    {"message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}
)
_GRAMMAR: Final = Grammar(utf8=True)
_GROUPS: Final = re.compile(rb"\r?\n[ \t]*\r?\n[ \t\r\n]*")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_QUEUE_ID: Final = re.compile(r"\bid\s+([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\b")
_ADDRESS: Final = re.compile(r"[^\s<>,;:\"()@]{1,64}@[A-Za-z0-9.-]{1,255}")
LISTED_CHARS: Final = 1_000
_ADDRESSED_BY: Final = ("to", "delivered-to", "x-original-to", "x-envelope-to", "x-rcpt-to")
_AUTH_AS: Final = "x-ms-exchange-organization-authas"
HOST_CHARS: Final = 255


def read_notice(data: bytes) -> Notice | NoNotice:
    """Read a message; never raises, whatever it holds."""
    walk = Walk(data)
    status, returned = _parts(walk)
    if status is None:
        return NoNotice(why="no_report")
    body = decoded(status, STATUS_BYTES)
    groups = [group for group in _GROUPS.split(body, maxsplit=RECIPIENTS_MAX + 2) if group.strip()]
    if not groups:
        return NoNotice(why="no_recipients")
    about = fields_of(groups[0])
    recipients = tuple(_recipients([about, *map(fields_of, groups[1 : RECIPIENTS_MAX + 1])]))
    if not recipients:
        return NoNotice(why="no_recipients")
    header = _header(returned)
    inner = fields_of(header)
    return Notice(
        recipients=recipients,
        message_ids=_message_ids(inner, walk.fields),
        queue_ids=_queue_ids(inner),
        addressed=_addressed(walk.fields),
        reporter=_host(first(about, "reporting-mta")),
        header=header,
        inside=all(value.lower() == "internal" for value in walk.fields.get(_AUTH_AS, ["none"])),
        cut=walk.cut or len(groups) > RECIPIENTS_MAX + 1 or len(status.body) > STATUS_BYTES,
    )


def _parts(walk: Walk) -> tuple[Part | None, Part | None]:
    """Find the first report and the first returned message; nothing after both is looked at."""
    status = returned = None
    for part in walk.leaves():
        if part.kind in STATUS_KINDS and status is None:
            status = part
        elif part.kind in RETURNED_KINDS and returned is None:
            returned = part
        if status is not None and returned is not None:
            break
    return status, returned


def _recipients(groups: Iterable[Fields]) -> Iterator[Returned]:
    """One for each group that names a recipient: some servers leave out the group about the message."""
    for group in groups:
        final = first(group, "final-recipient")
        if not final:
            continue
        said = _said(first(group, "action"))
        if said is None:
            continue
        status = status_code(first(group, "status"))
        yield Returned(
            final=address_of(final),
            original=address_of(first(group, "original-recipient")),
            said=said,
            status=status,
            reply=diagnostic(first(group, "diagnostic-code"), status),
            remote=_host(first(group, "remote-mta")),
        )


def _said(value: str) -> Said | None:
    word = value.partition("(")[0].strip().lower()
    return Said(word) if word in list(Said) else None


def address_of(value: str) -> str:
    """Read ``rfc822;user@domain`` (RFC 3464 §2.1.2), with or without brackets or the type; empty if it is none."""
    _, semicolon, rest = value.partition(";")
    text = (rest if semicolon else value).strip().strip("<>").strip()
    try:
        return parse_address(text, _GRAMMAR)
    except AddressError:
        return ""


def _header(returned: Part | None) -> bytes:
    if returned is None:
        return b""
    block = decoded(returned, RETURNED_BYTES)
    for blank in (b"\r\n\r\n", b"\n\n"):
        block = block.partition(blank)[0]
    return block


def _message_ids(inner: Fields, outer: Fields) -> tuple[str, ...]:
    """The returned message's own id first, then what the report answers."""
    values = [*inner.get("message-id", []), *inner.get("x-microsoft-original-message-id", [])]
    values += [*outer.get("in-reply-to", []), *outer.get("references", [])]
    found = dict.fromkeys(one for value in values for one in _MESSAGE_ID.findall(value))
    return tuple(found)[:IDS_MAX]


def _queue_ids(inner: Fields) -> tuple[str, ...]:
    found = dict.fromkeys(one for value in inner.get("received", []) for one in _QUEUE_ID.findall(value.lower()))
    return tuple(found)[:IDS_MAX]


def _addressed(outer: Fields) -> tuple[str, ...]:
    values = [value for name in _ADDRESSED_BY for value in outer.get(name, [])[:2]]
    found = dict.fromkeys(address_of(one) for value in values for one in _ADDRESS.findall(value[:LISTED_CHARS]))
    return tuple(address for address in found if address)[:ADDRESSED_MAX]


def _host(value: str) -> str:
    return printable(value.partition(";")[2] or value, HOST_CHARS)
