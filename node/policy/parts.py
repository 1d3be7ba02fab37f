"""The parts of a message as a draft at Graph can hold them: one text, and files attached or shown in it. Pure.

Source: RFC 2045, 2046, 2183, 2387; what Graph holds: resources ``message`` and ``fileAttachment``.
"""

from dataclasses import dataclass
from email.message import Message
from typing import Final

from node.policy.encoded_words import UndecodableError, decoded_words

PARTS: Final = 100
PART_BYTES: Final = 150_000_000
"""Longest attachment Graph takes (facts m365 §1.2 F)."""
_TEXTS: Final = {"text/plain": "text", "text/html": "html"}
_WHOLE: Final = frozenset(
    {
        "application/pkcs7-mime",
        "application/x-pkcs7-mime",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "application/pgp-encrypted",
        "application/pgp-signature",
        "application/ms-tnef",
        "text/calendar",
    }
)
_FIELDS: Final = frozenset({"content-type", "content-transfer-encoding", "content-disposition", "content-id"})
_TYPE_PARAMETERS: Final = frozenset({"charset", "name"})
_ENCODINGS: Final = frozenset({"7bit", "8bit", "binary", "base64", "quoted-printable"})
_PGP: Final = "-----BEGIN PGP "


class UnbuildableError(ValueError):
    """The message must go as it is; the text says why, after ``because``."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One attachment; its octets are decoded when asked for."""

    name: str
    kind: str
    content_id: str
    inline: bool
    source: Message

    def data(self) -> bytes:
        """Decode it. Raises UnbuildableError."""
        data = _decoded(self.source)
        if not data or len(data) > PART_BYTES:
            raise UnbuildableError("an attachment is empty or too large")
        return data


@dataclass(frozen=True, slots=True)
class Parts:
    """What a message consists of."""

    text: str
    kind: str
    """``text`` or ``html``, Graph's words."""
    attached: tuple[Piece, ...]


def parts_of(message: Message) -> Parts:
    """Tell a message's parts apart. Raises UnbuildableError."""
    text, attached = _top(message)
    if len(attached) > PARTS:
        raise UnbuildableError(f"it has {len(attached)} attachments")
    words, kind = ("", "text") if text is None else (_text(text), _TEXTS[text.get_content_type()])
    return Parts(words, kind, tuple(attached))


def _top(part: Message) -> tuple[Message | None, list[Piece]]:
    kind = part.get_content_type()
    if kind == "multipart/mixed":
        first, *others = _children(part, {"boundary"})
        text, attached = _top(first) if _leads(first) else (None, [_piece(first)])
        return text, attached + [_piece(one) for one in others]
    if kind == "multipart/related":
        first, *others = _children(part, {"boundary", "type"})
        if first.get_content_type() != "text/html" or not _shown(first):
            raise UnbuildableError("what belongs together in it is no HTML")
        return first, [_piece(one, related=True) for one in others]
    return (part, []) if _shown(part) else (None, [_piece(part)])


def _leads(part: Message) -> bool:
    return part.get_content_type() == "multipart/related" or _shown(part)


def _shown(part: Message) -> bool:
    """Whether it is the text of the message."""
    return part.get_content_type() in _TEXTS and part.get_content_disposition() != "attachment"


def _children(part: Message, known: set[str]) -> list[Message]:
    payload = part.get_payload()
    children = [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    if not children or part.defects:
        raise UnbuildableError("its parts cannot be told apart")
    _parameters(part, known)
    return children


def _parameters(part: Message, known: set[str] | frozenset[str]) -> None:
    """What says more of a part than a draft can hold (``format=flowed``, ``start``) must not be lost."""
    for name, _ in (part.get_params() or [])[1:]:
        if name.lower() not in known:
            raise UnbuildableError(f"Graph would drop {name} of {part.get_content_type()}")


def _text(part: Message) -> str:
    _leaf(part, {"charset"})
    if part.get_filename() or part.get("Content-ID"):
        raise UnbuildableError("its text has a name")
    try:
        text = _decoded(part).decode(str(part.get_content_charset("us-ascii")))
    except (LookupError, UnicodeDecodeError):
        raise UnbuildableError("its text cannot be decoded") from None
    if _PGP in text:
        raise UnbuildableError("it is signed or encrypted (PGP)")
    return text


def _leaf(part: Message, known: set[str] | frozenset[str]) -> None:
    kind = part.get_content_type()
    if part.is_multipart() or kind in _WHOLE or kind.startswith(("multipart/", "message/")):
        raise UnbuildableError(f"{kind} must stay whole")
    if part.defects:
        raise UnbuildableError("its parts cannot be told apart")
    for name in part:
        if name.lower().startswith("content-") and name.lower() not in _FIELDS:
            raise UnbuildableError(f"Graph would drop {name}")
    _parameters(part, known)


def _piece(part: Message, *, related: bool = False) -> Piece:
    _leaf(part, _TYPE_PARAMETERS)
    disposition = part.get_content_disposition()
    if disposition != "attachment" and not related and part.get_content_maintype() == "text":
        raise UnbuildableError("it has more texts than one")
    try:
        name = decoded_words(part.get_filename("") or "")
    except UndecodableError:
        name = ""
    if not name or not name.isprintable() or "/" in name:
        raise UnbuildableError("an attachment has no name that can be read")
    content_id = str(part.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">")
    if not content_id.isascii() or (related and not content_id):
        raise UnbuildableError("what its HTML shows cannot be told")
    return Piece(name, part.get_content_type(), content_id, related or disposition == "inline", part)


def _decoded(part: Message) -> bytes:
    if str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower() not in _ENCODINGS:
        raise UnbuildableError("a part of it has an encoding nobody knows")
    data = part.get_payload(decode=True)
    if part.defects or not isinstance(data, bytes):
        raise UnbuildableError("a part of it is not encoded as it says")
    return data
