"""What each message of a run looks like, from its number alone: the same plan always gives the same messages. Pure."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import TypeVar

from node.rehearsal.errors import RehearsalInputError
from node.settings.units import parse_size

_T = TypeVar("_T")
_FILLER = (b"The quick brown fox jumps over the lazy dog; rehearsal text 0123456789 ab\r\n") * 64
MT_PRIORITY = {"urgent": 4, "normal": 0, "bulk": -4}
"""RFC 6710 values for the three classes."""


class Tls(StrEnum):
    """How the connection to the relay is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run: how many, from whom, to whom, how large and how urgent."""

    run: str
    """Names the run; part of every X-Rehearsal-Id."""
    count: int
    senders: tuple[str, ...]
    """``{n}`` becomes the message's number modulo ``pool``."""
    recipients: tuple[str, ...]
    """Patterns like ``senders``; the first recipients of the rotation are taken."""
    recipients_each: int = 1
    sizes: tuple[tuple[int, int], ...] = ((4096, 1),)
    """(bytes, weight)."""
    priorities: tuple[tuple[str, int], ...] = ()
    """(class, weight); empty: no MT-PRIORITY is sent."""
    pool: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One message to send."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    size_bytes: int
    priority: str


def draft(plan: Plan, number: int) -> Draft:
    """Give message ``number`` (from 0) of the plan."""
    first = number * plan.recipients_each
    recipients = (
        _filled(plan.recipients[(first + n) % len(plan.recipients)], (first + n) % plan.pool)
        for n in range(plan.recipients_each)
    )
    return Draft(
        id=f"{plan.run}-{number:08d}",
        sender=_filled(plan.senders[number % len(plan.senders)], number % plan.pool),
        recipients=tuple(dict.fromkeys(recipients)),
        size_bytes=_chosen(plan.sizes, _chance(plan.seed, number, b"size")),
        priority=_chosen(plan.priorities, _chance(plan.seed, number, b"priority")) if plan.priorities else "",
    )


def render(message: Draft, attempt: int, date: str) -> bytes:
    """Give the message as sent, dot-stuffing not needed; padded to its size with CRLF lines below 78 octets."""
    head = (
        f"From: Rehearsal <{message.sender}>\r\n"
        f"To: {', '.join(message.recipients)}\r\n"
        f"Subject: Rehearsal {message.id}\r\n"
        f"Date: {date}\r\n"
        f"Message-ID: <{message.id}@rehearsal.invalid>\r\n"
        f"X-Rehearsal-Id: {message.id}\r\n"
        f"X-Rehearsal-Try: {attempt}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    ).encode()
    missing = max(0, message.size_bytes - len(head) - 2)
    repeats, rest = divmod(missing, len(_FILLER))
    body = _FILLER * repeats + _FILLER[:rest]
    return head + body.rstrip(b"\r\n") + b"\r\n"


def read_weights(text: str, what: str) -> tuple[tuple[str, int], ...]:
    """Read ``urgent:10,normal:80`` (a missing weight is 1); raises RehearsalInputError."""
    pairs = []
    for part in text.split(","):
        name, _, weight = part.strip().partition(":")
        if not name or not (weight or "1").isdigit() or int(weight or "1") < 1:
            raise RehearsalInputError(f"{what}: expected name:weight pairs such as urgent:10,normal:80, not {text!r}")
        pairs.append((name, int(weight or "1")))
    return tuple(pairs)


def read_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Read ``4KiB:80,1MiB:5``; raises RehearsalInputError."""
    try:
        return tuple((parse_size(name), weight) for name, weight in read_weights(text, "size"))
    except ValueError as error:
        raise RehearsalInputError(f"size: {error}") from None


def read_priorities(text: str) -> tuple[tuple[str, int], ...]:
    """Read ``urgent:10,normal:80,bulk:10``; raises RehearsalInputError."""
    pairs = read_weights(text, "priority")
    unknown = [name for name, _ in pairs if name not in MT_PRIORITY]
    if unknown:
        raise RehearsalInputError(f"priority: {unknown[0]!r} is none of {', '.join(MT_PRIORITY)}")
    return pairs


def _filled(pattern: str, n: int) -> str:
    return pattern.replace("{n}", str(n))


def _chosen(weighted: Sequence[tuple[_T, int]], chance: float) -> _T:
    sums = list(accumulate(weight for _, weight in weighted))
    return weighted[bisect_right(sums, chance * sums[-1])][0]


def _chance(seed: int, number: int, what: bytes) -> float:
    # A hash instead of a generator: message n does not depend on who drew before it.
    digest = hashlib.blake2b(b"%d %d %s" % (seed, number, what), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
