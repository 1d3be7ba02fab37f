"""A message taken apart into what Graph builds one from: for mail too large for its one request (facts m365 §1.2 F).

Only what comes out the same is taken apart: one text, attachments, inline images, and header fields a draft has a place
for. The rest is ``Unbuildable``: what is signed, what means something as a whole (an invitation, a report), what has
alternatives (Graph keeps one and writes the other itself), and fields Graph would drop (operations A14). Date,
Message-ID and Received are the only ones lost: Graph writes its own, whatever it is told (facts m365 §5 item 15). Pure.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final

import msgspec

from node.policy.addresses import AddressError, Grammar
from node.policy.encoded_words import UndecodableError, decoded_words
from node.policy.headers import unfold
from node.policy.mailboxes import Mailbox, parse_mailboxes
from node.policy.marker import DRAFT_PROPERTY, DRAFT_VALUE, MARKER, MARKER_PROPERTY
from node.policy.parts import Piece, UnbuildableError, parts_of

DRAFT_BYTES: Final = 3_500_000
"""The draft's JSON, text included, goes in one request of less than 4 MB (facts m365 §1.2 F)."""
OWN_FIELDS: Final = 4
"""``X-`` fields of the sender that fit: Graph takes five (``InvalidInternetMessageHeaderCollection``), one is ours."""
VALUE_CHARS: Final = 900
SUBJECT_CHARS: Final = 255
_PEOPLE: Final = {"to": "toRecipients", "cc": "ccRecipients", "bcc": "bccRecipients", "reply-to": "replyTo"}
_WRITTEN_ANEW: Final = frozenset({"date", "message-id", "received", "mime-version"})
_SIGNATURES: Final = ("dkim-", "arc-", "domainkey-", "autocrypt")
_FOREIGN: Final = ("x-ms-", "x-microsoft-")
"""Exchange's own: what it does with them when an application sets them is not known."""
_IMPORTANCE: Final = frozenset({"low", "normal", "high"})
_GRAMMAR: Final = Grammar(utf8=True)
_EMPTY_GROUP: Final = re.compile(r"[^<>@,]*:\s*;")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a draft is made of."""

    value: dict[str, Any]
    """Its JSON, without attachments."""
    pieces: tuple[Piece, ...]


def rebuilt(message: Message, queue_id: str, mark: str) -> Rebuilt:
    """Take a parsed message apart; ``mark``: value of the field it is found by. Raises UnbuildableError."""
    fields = _fields(message)
    parts = parts_of(message)
    authors = _people(fields, "from")
    if len(authors) != 1:
        raise UnbuildableError("it has not one author")
    value: dict[str, Any] = {
        "subject": _subject(fields),
        "body": {"contentType": parts.kind, "content": parts.text},
        "from": authors[0],
        **{name: _people(fields, field) for field, name in _PEOPLE.items()},
        "internetMessageHeaders": list(_own_fields(fields, mark)),
        "singleValueExtendedProperties": [
            {"id": MARKER_PROPERTY, "value": queue_id},
            {"id": DRAFT_PROPERTY, "value": DRAFT_VALUE},
        ],
    }
    if "importance" in fields:
        value["importance"] = _importance(fields["importance"][1])
    if len(msgspec.json.encode(value)) > DRAFT_BYTES:
        raise UnbuildableError("its text is too long")
    return Rebuilt(value, parts.attached)


def _fields(message: Message) -> dict[str, tuple[str, str]]:
    """Give each field as written, by its name in small letters; none may be there that would be lost."""
    found: dict[str, tuple[str, str]] = {}
    for written, raw in message.raw_items():
        name = written.lower()
        if name in _WRITTEN_ANEW or name.startswith("content-"):
            continue
        _refuse(written, name)
        if name in found:
            raise UnbuildableError(f"{written} is there twice")
        found[name] = written, _plain(written, str(raw))
    return found


def _refuse(written: str, name: str) -> None:
    if name.startswith(_SIGNATURES):
        raise UnbuildableError(f"it is signed ({written})")
    if name == MARKER.lower():
        raise UnbuildableError("it went this way before")  # its Received fields were lost then: a loop would not show
    known = name in (*_PEOPLE, "from", "subject", "importance")
    if not known and (not name.startswith("x-") or name.startswith(_FOREIGN)):
        raise UnbuildableError(f"Graph would drop {written}")


def _plain(written: str, raw: str) -> str:
    """Unfold a value; eight-bit ones have no charset to be read by."""
    if not raw.isascii():
        raise UnbuildableError(f"{written} is not ASCII")
    return re.sub(r"\r?\n(?=[ \t])", "", raw).strip()


def _words(written: str, value: str) -> str:
    try:
        return decoded_words(value)
    except UndecodableError:
        raise UnbuildableError(f"{written} cannot be decoded") from None


def _subject(fields: dict[str, tuple[str, str]]) -> str:
    text = _words(*fields.get("subject", ("Subject", "")))
    if len(text) > SUBJECT_CHARS:
        raise UnbuildableError(f"its subject is longer than {SUBJECT_CHARS} characters")
    return text


def _importance(value: str) -> str:
    if value.lower() not in _IMPORTANCE:
        raise UnbuildableError("Importance is none of low, normal and high")
    return value.lower()


def _people(fields: dict[str, tuple[str, str]], name: str) -> list[dict[str, Any]]:
    written, raw = fields.get(name, (name, ""))
    value = unfold(raw.encode())
    if not value or _EMPTY_GROUP.fullmatch(value):
        return []
    try:
        return [{"emailAddress": _person(written, one)} for one in parse_mailboxes(value, _GRAMMAR)]
    except AddressError:
        raise UnbuildableError(f"{written} cannot be read in one way only") from None


def _person(written: str, one: Mailbox) -> dict[str, str]:
    display = one.display.strip()
    if len(display) > 1 and display[0] == display[-1] == '"':
        display = re.sub(r"\\(.)", r"\1", display[1:-1])
    name = _words(written, display)
    return {"address": one.address, **({"name": name} if name else {})}


def _own_fields(fields: dict[str, tuple[str, str]], mark: str) -> Iterator[dict[str, str]]:
    """The line of ours, and the sender's own fields, as written: what is encoded in them stays so."""
    own = [(MARKER, " ".join(mark.split())), *(one for name, one in fields.items() if name.startswith("x-"))]
    if len(own) > OWN_FIELDS + 1:
        raise UnbuildableError(f"it has more than {OWN_FIELDS} fields of its own (X-)")
    for written, value in own:
        if len(value) > VALUE_CHARS:
            why = "it has too many recipients to be found again" if written == MARKER else f"{written} is too long"
            raise UnbuildableError(why)
        if not value:
            raise UnbuildableError(f"{written} is empty")
        yield {"name": written, "value": value}
