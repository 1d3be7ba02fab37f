"""An entry of the audit as a syslog message (RFC 5424), and how a stream carries it (RFC 5425 §4.3). Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

MESSAGE_MAX_BYTES: Final = 8_192
"""RFC 5424 §6.1: receivers should take 2,048 octets; most take this. Longer ones are cut at a whole character."""
NOTICE: Final = 5
FACILITIES: Final = {"auth": 4, "authpriv": 10, **{f"local{number}": 16 + number for number in range(8)}}
SHOWN: Final = ("n", "hash", "actor", "role", "from")
"""Of an entry, as parameters; the rest is the text."""
ENTERPRISE: Final = 32473
"""The number RFC 5612 keeps for examples: the product has none of its own."""
_BOM: Final = "\ufeff"
_ESCAPED: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "]": "\\]"})


def message(entry: Mapping[str, Any], *, facility: str, host: str, process_id: int) -> bytes:
    """Give one message, at most MESSAGE_MAX_BYTES; control characters in it are made visible."""
    head = f"<{FACILITIES[facility] * 8 + NOTICE}>1 {entry['at']} {_name(host, 255)} relay-node {process_id} audit"
    shown = " ".join(f'{key}="{_value(str(entry[key]))}"' for key in SHOWN if key in entry)
    facts = json.dumps(entry.get("facts", {}), ensure_ascii=False, default=str)
    text = _plain(f"{entry['event']} {facts}")
    whole = f"{head} [audit@{ENTERPRISE} {shown}] {_BOM}{text}".encode()
    return whole[:MESSAGE_MAX_BYTES].decode(errors="ignore").encode()


def framed(data: bytes) -> bytes:
    """Give a message as a stream carries it: its length in octets before it."""
    return str(len(data)).encode() + b" " + data


def _name(text: str, most: int) -> str:
    """Keep what a header field may hold: printable ASCII without blanks; ``-`` for nothing."""
    return "".join(char for char in text if "!" <= char <= "~")[:most] or "-"


def _value(text: str) -> str:
    return _plain(text)[:256].translate(_ESCAPED)


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
