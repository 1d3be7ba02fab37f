"""What delivery and intake ask of the shared budgets. Embedded in one node now; etcd answers the same questions later.

A *grant* is everything an attempt needs from the budgets: one message permit and room for its recipients in the
day ledgers. It is taken before MAIL and ends in exactly one of ``settled`` (a final reply was read, or the
conversation ended after MAIL) and ``cancelled`` (RSET before DATA, or never started); see
facts/coordination-review.md §4.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from node.policy.envelope import Priority

SETTLE_HORIZON_S = 60.0
"""H: how long the upstream may still count a conversation whose client vanished (coordination-review §4)."""
SETTLE_HORIZON_MS = int(SETTLE_HORIZON_S * 1000)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Microsoft's limits for one account (facts/m365.md §2.1); 0 means the upstream has no such limit."""

    messages: int
    """Messages in any sliding ``window_s``."""
    window_s: float
    recipients_24h: int
    sessions: int
    """Concurrent sessions the upstream allows; we use one fewer (coordination-review §4)."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction is about to use."""

    account: str
    """Budget scope of the account, e.g. ``contoso/relay1@contoso.com``."""
    recipients: int
    tenant: str = ""
    external: int = 0
    """How many of the recipients count against the tenant's external limit; 0 on paths outside it."""
    priority: Priority = Priority.NORMAL


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Permission to start one transaction; ``id`` is unique in this node's life and across restarts."""

    id: str
    need: Need
    taken_ms: int


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """No grant now; ask again at ``retry_ms`` (or when woken)."""

    reason: str
    """``no_permit``, ``day_budget``, ``tenant_budget``, ``paused``, ``unknown_account`` (removed by a reload);
    for clients ``rate`` and ``recipients``."""
    retry_ms: int


class SlotLease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to keep one session open to an account until ``give_back``."""

    account: str
    index: int


class BudgetUse(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``relayctl budget``."""

    scope: str
    kind: str
    """``permits``, ``day``, ``external``, ``slots`` or ``client``."""
    limit: int
    used: int
    window_s: float
    retry_ms: int = 0
    """When the next unit comes free; 0 if some are free now."""
    exhausted_ms: int = 0
    """Day limits: when they will be used up at the pace of the last hour; 0 if not within 24 h."""
    share: int = 0
    """Shared limits: what this node has of it, used or free; for day limits what it has at hand unused."""
    shares: Mapping[str, int] = {}
    """Shared limits: what each node has of it, this one too."""
    unshared: int = 0
    """Shared limits: what nobody has."""
    waiting: tuple[str, ...] = ()
    """Nodes that wait for some of it, first come first."""
    fault: str = ""
    """Why nobody moves anything of this limit: its record cannot be believed."""


class Budgets(Protocol):
    """Shared limits. Every call is safe to cancel; nothing is held unless a value was returned."""

    def try_grant(self, need: Need, now_ms: int) -> Grant | Refusal:
        """Take one permit and day room at once, or say when to ask again. Never waits."""
        ...

    def settled(self, grant: Grant, now_ms: int, *, recipients_used: int | None = None, vanished: bool = False) -> None:
        """Start the permit's return ``window`` after this final reply; unused recipient room goes back.

        ``vanished``: the conversation ended after MAIL without a final reply (connection lost, timed out), so the
        upstream may count it up to H longer (coordination-review §4).
        """
        ...

    def cancelled(self, grant: Grant, now_ms: int) -> None:
        """Return everything at once: nothing was said to the upstream past MAIL/RCPT that it may count."""
        ...

    def try_slot(self, account: str, now_ms: int) -> SlotLease | None:
        """Take one of the account's session slots, or None."""
        ...

    def give_back(self, lease: SlotLease, now_ms: int, *, linger: bool = False) -> None:
        """Free a slot; ``linger`` when the upstream may still count the session (vanished, not closed)."""
        ...

    def admit_client(self, client: str, recipients: int, now_ms: int) -> Refusal | None:
        """Reserve an inbound message and its recipients for a client (GCRA and day counter; A8)."""
        ...

    def client_done(self, client: str, reserved: int, used: int, now_ms: int) -> None:
        """Count what was accepted and return the rest of the reservation (0 used: aborted)."""
        ...

    def use(self, now_ms: int) -> list[BudgetUse]:
        """Everything with a limit, for ``relayctl budget`` and metrics."""
        ...
