"""What the simulated service reads in a message: a few header fields, found without parsing MIME. Pure."""

from dataclasses import dataclass
from email.utils import getaddresses

HEADERS_BYTES = 256 * 1024  # Exchange's header limit; what lies beyond is not read

_WANTED = frozenset({b"from", b"sender", b"subject", b"message-id", b"x-rehearsal-id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """The fields that decide or identify; texts are unfolded and stripped."""

    froms: tuple[str, ...]
    """Every address in every From field, lower case."""
    from_fields: int
    sender: str
    subject: str
    message_id: str
    rehearsal_id: str


def read_headers(start: bytes) -> Headers:
    """Read the header block at the start of a message; missing fields are empty."""
    end = start.find(b"\r\n\r\n")
    block = start if end < 0 else start[:end]
    if b"\r\n " in block or b"\r\n\t" in block:
        block = block.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    found: dict[bytes, list[str]] = {}
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        name = name.rstrip().lower()
        if colon and name in _WANTED:
            found.setdefault(name, []).append(value.strip().decode("utf-8", "replace"))
    from_fields = found.get(b"from", [])
    return Headers(
        froms=_addresses(from_fields),
        from_fields=len(from_fields),
        sender=_address(_first(found, b"sender")),
        subject=_first(found, b"subject"),
        message_id=_first(found, b"message-id"),
        rehearsal_id=_first(found, b"x-rehearsal-id"),
    )


def _first(found: dict[bytes, list[str]], name: bytes) -> str:
    values = found.get(name)
    return values[0] if values else ""


def _address(text: str) -> str:
    opening = text.rfind("<")
    address = text[opening + 1 : text.find(">", opening)] if opening >= 0 else text
    return address.strip().lower()


def _addresses(fields: list[str]) -> tuple[str, ...]:
    # The library's parser costs more than the rest of the message; one plain address needs no grammar.
    if all("," not in text and '"' not in text and "(" not in text for text in fields):
        return tuple(filter(None, map(_address, fields)))
    return tuple(address.lower() for _, address in getaddresses(fields) if address)
