"""What a reply means: whom it concerns, what becomes of the recipient, and how long to rest (design §5.7)."""

from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """Whom a reply says something about (design §5.7)."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    ACCOUNT_FROM = "account_from"
    ACCOUNT = "account"
    PATH_SITE = "path_site"
    PATH = "path"
    TENANT = "tenant"
    CONNECTION = "connection"


class Outcome(StrEnum):
    """What becomes of the recipients the reply speaks of."""

    DELIVERED = "delivered"
    RETRY = "retry"  # same way again after the cool-down
    SWITCH = "switch"  # another account or path may take it at once; this one rests
    BOUNCE = "bounce"
    HOLD = "hold"  # a person must look; no failover, no bounce
    UNKNOWN = "unknown"  # the final dot was sent and no answer read


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement of one reply."""

    scope: Scope
    outcome: Outcome
    reason: str
    """Stable snake_case word, one per row of the table, e.g. ``tenant_daily_limit``."""
    cool_down_s: float = 0.0
    """How long the scope rests before it may be used (or the recipient tried) again."""
    alert: bool = False
    """A person must act: login refused, blocked sender, misconfiguration."""
    source: str = ""
    """Row of facts/m365.md (or the configuration) the judgement comes from."""
