"""The key ``version``: which level is in force, and on whose word.

Not signed, other than wishes: it outlives certificates, and the node whose operator finalised may leave the list. Who
can write the store can therefore stop processes from starting, as by deleting it; nothing is attempted or lost by it.
"""

from datetime import UTC, datetime

import msgspec


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is in force. ``level`` keeps its name and meaning in all versions; what else stands there is for people."""

    level: int
    actor: str = ""
    """Who finalised it; empty: the cluster began with it."""
    reason: str = ""
    node: str = ""
    """The node that was asked, or that began the cluster."""
    version: str = ""
    """Of the program that wrote it."""
    at_ms: int = 0


def told(settled: Settled) -> str:
    """Say how it came in force."""
    if not settled.at_ms:
        return ""
    day = datetime.fromtimestamp(settled.at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if not settled.actor:
        return f"since {settled.node} began the cluster on {day}"
    return f"finalised on {day} by {settled.actor} at {settled.node}: {settled.reason}"
