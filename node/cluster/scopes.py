"""The counters behind one account and one client, built from limits and changed in place by a reload.

0 stands for unlimited in the limits; here it is a number no one reaches, so that counting goes on and a limit
set later starts from what was really used. Unlimited permits are not counted: they would be kept by the thousand.
"""

from coordinator.budget.day import DayCounter
from coordinator.budget.gcra import Gcra
from coordinator.budget.reserve import ElasticPermits, share_of
from coordinator.budget.slots import Slots
from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits, ClientLimits, whole_ms, window_ms

UNLIMITED = 1 << 40


class Account:
    """Permits, day counter and slots of one account."""

    __slots__ = ("day", "day_kept", "limited", "permits", "slots")

    def __init__(self, limits: Limits, shared: BudgetLimits) -> None:
        settle_ms = whole_ms(shared.settle_s)
        permit_ms = window_ms(limits.window_s) or 1
        self.permits = ElasticPermits(limit=0, window_ms=permit_ms, settle_ms=settle_ms)
        self.day = DayCounter(limit=UNLIMITED, settle_ms=settle_ms)
        self.slots = Slots(limit=1, linger_ms=whole_ms(shared.linger_s))
        self.day_kept = 0
        self.limited = False
        self.resize(limits, shared, 0)

    def resize(self, limits: Limits, shared: BudgetLimits, now_ms: int) -> None:
        """Put new limits in force without forgetting what is out."""
        self.limited = limits.messages > 0
        if self.limited:
            reserve = share_of(limits.messages, shared.urgent_percent)
            self.permits.resize(limits.messages, window_ms(limits.window_s), now_ms, reserve=reserve)
        self.day.limit = limits.recipients_24h or UNLIMITED
        self.day_kept = share_of(limits.recipients_24h, shared.urgent_day_percent)
        self.slots.limit = limits.sessions or UNLIMITED

    def at_rest(self, now_ms: int) -> bool:
        """Nothing out, counted or held: forgetting it changes nothing."""
        held = self.slots.held + self.slots.lingering(now_ms)
        return not (self.permits.out(now_ms) or self.day.used(now_ms) or held)


class Client:
    """Arrival rate and recipient counter of one client."""

    __slots__ = ("limits", "rate", "recipients")

    def __init__(self, limits: ClientLimits) -> None:
        self.limits = limits
        self.rate = Gcra(amount=limits.messages or UNLIMITED, window_ms=whole_ms(limits.window_s))
        self.recipients = _recipients(limits)

    def resize(self, limits: ClientLimits, now_ms: int) -> None:
        """Put new limits in force; what was counted and reserved stays."""
        self.rate.resize(limits.messages or UNLIMITED, whole_ms(limits.window_s))
        before, self.recipients = self.recipients, _recipients(limits)
        self.recipients.restore(before.counted(now_ms), now_ms)
        self.recipients.reserved = before.reserved
        self.limits = limits

    def at_rest(self, now_ms: int) -> bool:
        """Nothing reserved or counted."""
        return not (self.rate.level(now_ms) or self.recipients.used(now_ms))


def _recipients(limits: ClientLimits) -> DayCounter:
    day_ms = whole_ms(limits.recipients_window_s)
    return DayCounter(limit=limits.recipients or UNLIMITED, settle_ms=0, window_ms=day_ms)
