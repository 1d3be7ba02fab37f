"""Every limit the budgets are built from, as plain values. Knows no files and no defaults of Microsoft's."""

from collections.abc import Mapping

import msgspec

from node.cluster.contract import SETTLE_HORIZON_S, Limits


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may hand in; 0 means no such limit."""

    messages: int = 0
    """Messages in ``window_s`` on average; as many may come at once."""
    window_s: float = 60.0
    recipients: int = 0
    """Recipients in any sliding ``recipients_window_s``."""
    recipients_window_s: float = 86_400.0


class BudgetLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All scopes with a limit. An account missing here gets no grants; a tenant or client missing is unlimited."""

    accounts: Mapping[str, Limits]
    tenants: Mapping[str, int] = {}
    """External recipients in 24 h (facts/m365.md §2.2); 0 is unlimited."""
    clients: Mapping[str, ClientLimits] = {}
    settle_s: float = SETTLE_HORIZON_S
    """H: how long the upstream may still count a conversation whose client vanished."""
    linger_s: float = 360.0
    """How long the upstream counts a session of a vanished host."""
    idle_s: float = 60.0
    """Longest an open session stays unused before we close it (design §5.6)."""
    urgent_percent: int = 20
    """Elastic reserve of the minute permits for urgent mail; 0 when no plan is urgent."""
    urgent_day_percent: int = 5
    """Fixed share of each day limit that only urgent mail may use."""


DRIFT_PARTS = 1_000
"""Our windows are longer than the upstream's by one part of this many."""


def whole_ms(seconds: float) -> int:
    """Milliseconds, rounded up: a window must never come out shorter than it is."""
    return -int(-seconds * 1000 // 1)


def window_ms(seconds: float) -> int:
    """A window of the upstream's by our clock: one in a thousand longer, for two clocks that run apart.

    NTP slews at up to 500 ppm on either side (coordination-review §1); without it a permit comes back some 30 ms early.
    """
    plain_ms = whole_ms(seconds)
    return plain_ms - (-plain_ms // DRIFT_PARTS)
