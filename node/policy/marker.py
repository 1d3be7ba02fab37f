"""A header line that says which recipients of which message a copy was sent for, to be found again in Sent Items. Pure.

A Message-ID does not do: one message may leave several times for different recipients, and a client may use it twice.
The line holds the queue id and the recipients' numbers, nothing of people: whoever receives it learns nothing.
"""

import re
from collections.abc import Iterable
from typing import Final

MARKER: Final = "X-Relay-Attempt"
KEEPS_COPIES: Final = frozenset({"submission", "graph"})
"""Paths on which a copy of what was sent lies in a mailbox (facts m365 §1.2)."""
MARKER_PROPERTY: Final = "String {00020386-0000-0000-c000-000000000046} Name x-relay-message"
"""Property of a message built anew at Graph, holding the queue id: it can be filtered by (MS-OXPROPS 1.3.2)."""
DRAFT_PROPERTY: Final = "String {00020329-0000-0000-c000-000000000046} Name m365-relay-draft"
"""Property every draft of ours has, whichever node made it; of a set that leaves no mailbox (PS_PUBLIC_STRINGS)."""
DRAFT_VALUE: Final = "m365-relay"
_LINE_NUMBERS: Final = 40
_MOST_CHARS: Final = 20_000
_VALUE: Final = re.compile(r"([0-9a-f-]{36})((?:[ ,]+\d{1,5}(?:-\d{1,5})?)+)")
_FIELD: Final = re.compile(rb"^X-Relay-Attempt:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


def marker_value(message_id: str, indexes: Iterable[int]) -> str:
    """Give the line's value, folded where it grows long: ``018f… 0-3, 7``."""
    ranges = _ranges(sorted(set(indexes)))
    lines = [", ".join(ranges[start : start + _LINE_NUMBERS]) for start in range(0, len(ranges), _LINE_NUMBERS)]
    return f"{message_id} " + ",\r\n ".join(lines)


def marker_line(message_id: str, indexes: Iterable[int]) -> bytes:
    """Give the whole line."""
    return f"{MARKER}: {marker_value(message_id, indexes)}\r\n".encode("ascii")


def marked(value: str, message_id: str) -> frozenset[int]:
    """Give the recipients a line's value names, if it is this message's; else none."""
    match = _VALUE.fullmatch(" ".join(value[:_MOST_CHARS].split()))
    if match is None or match[1] != message_id:
        return frozenset()
    found: set[int] = set()
    for part in match[2].replace(",", " ").split():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def marked_in(head: bytes, message_id: str) -> frozenset[int]:
    """Give the recipients the header of a copy names for this message; only the header is looked at."""
    block = head.partition(b"\r\n\r\n")[0]
    found: frozenset[int] = frozenset()
    for value in _FIELD.findall(block):
        found |= marked(value.decode("ascii", "replace"), message_id)
    return found


def _ranges(indexes: list[int]) -> list[str]:
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]
