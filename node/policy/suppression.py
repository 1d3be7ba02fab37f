"""The suppression list: addresses that failed for good and would only fail again. Observes; refuses only if told to.

Pure. Addresses are compared in lower case: a mailbox that differs from another by case alone has not been seen.
"""

from enum import StrEnum
from typing import Final

import msgspec

HARD: Final = frozenset({"recipient_unknown", "recipient_unavailable", "recipient_invalid", "directory_block"})
"""Reasons that speak of the address itself: not of a full mailbox, a rule, or the sender."""
ADDRESSES_MAX: Final = 100_000


class Mode(StrEnum):
    """What the list does."""

    OFF = "off"
    OBSERVE = "observe"
    REFUSE = "refuse"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the list works."""

    mode: Mode = Mode.OBSERVE
    times: int = 2
    """Hard failures before an address is on the list."""
    keep_ms: int = 7 * 86_400_000
    """How long after the last one it stays there."""


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """An address that failed."""

    address: str
    times: int
    first_ms: int
    last_ms: int
    reason: str


def counts(reason: str, rules: Rules) -> bool:
    """Tell whether a failure counts."""
    return rules.mode is not Mode.OFF and reason in HARD


def listed(failing: Failing, rules: Rules, now_ms: int) -> bool:
    """Tell whether an address is on the list."""
    return rules.mode is not Mode.OFF and failing.times >= rules.times and now_ms - failing.last_ms <= rules.keep_ms
