"""What a check finds: violations with their evidence, and the figures behind them. Values only."""

import msgspec


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant that did not hold (design §1)."""

    invariant: str
    """``I1``, ``I2`` or ``I5``."""
    what: str
    """``lost``, ``unasked``, ``starts``, ``sessions``, ``recipients``, ``external``, ``silent duplicate``."""
    subject: str
    """The message and recipient, or the scope."""
    at_ms: float
    text: str
    evidence: tuple[str, ...] = ()
    """Lines of the histories, or ids, that show it."""


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery too many, with what explains it."""

    id: str
    recipient: str
    first_ms: float
    again_ms: float
    why: str
    """Empty: nothing explains it."""
    listed: bool
    """The relay itself lists an attempt of the message as unknown."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The whole judgement; counts are of (message, recipient) pairs unless they say otherwise."""

    accepted_messages: int
    accepted: int
    delivered: int
    kept: int
    lost: int
    duplicates: tuple[Duplicate, ...]
    worst: dict[str, dict[str, int]]
    """Scope to measure (with its window) to the most that could have been counted."""
    overshoot: int
    """The most by which any limit was exceeded."""
    violations: tuple[Violation, ...]

    @property
    def holds(self) -> bool:
        """Whether every invariant held."""
        return not self.violations
