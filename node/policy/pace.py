"""How many connections a path without published limits bears: fewer when it slows us down, one more as it goes well.

For connector, direct send and smart host only; mailboxes have known limits (operations §2). Pure; ``now`` is handed
in. Additive rise, multiplicative fall, as TCP does it: what parallel connections say within one moment counts once.
"""

from typing import Final

import msgspec

ONE_MOMENT_MS: Final = 10_000
"""Refusals this close together are one: they were under way when the first came."""
QUIET_MS: Final = 60_000
"""So long nothing was said against the pace before it rises."""
RISE_AFTER: Final = 20
"""Deliveries per connection in use before one more is tried."""
TARPIT_S: Final = 4.0
"""An answer before the data that takes longer is a tarpit: the service lets failures wait 4 to 5 s (facts m365 §6)."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The connections one node may have to a path now."""

    ceiling: int
    """As configured."""
    limit: int
    good: int = 0
    """Deliveries since the limit changed."""
    slowed_ms: int = -QUIET_MS
    """When it last fell."""


def started(ceiling: int) -> Pace:
    """Begin at what is configured."""
    return Pace(ceiling=ceiling, limit=ceiling)


def slowed(pace: Pace, now_ms: int) -> Pace:
    """The other side asked for less, or made us wait: half of the connections, one at least."""
    if now_ms - pace.slowed_ms < ONE_MOMENT_MS:
        return msgspec.structs.replace(pace, good=0)
    return msgspec.structs.replace(pace, limit=max(1, pace.limit // 2), good=0, slowed_ms=now_ms)


def delivered(pace: Pace, now_ms: int) -> Pace:
    """One message went through without delay."""
    if pace.limit >= pace.ceiling:
        return pace
    good = pace.good + 1
    if good < RISE_AFTER * pace.limit or now_ms - pace.slowed_ms < QUIET_MS:
        return msgspec.structs.replace(pace, good=good)
    return msgspec.structs.replace(pace, limit=pace.limit + 1, good=0)
