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


class Narrow(StrEnum):
    """Which part of the scope's mail rests; the rest goes on (facts m365 §4.7, §4.8)."""

    ALL = "all"
    EXTERNAL = "external"  # only recipients outside the tenant
    FROM_DOMAIN = "from_domain"  # only mail from this sender domain
    PATH = "path"  # an account, but only on the path it was said on: a mailbox may be reached by another


class Outcome(StrEnum):
    """What becomes of the recipients the reply speaks of."""

    DELIVERED = "delivered"
    RETRY = "retry"  # same way again after the cool-down
    SWITCH = "switch"  # another account or path may take it at once; this one rests
    BOUNCE = "bounce"
    HOLD = "hold"  # a person must look; no failover, no bounce
    UNKNOWN = "unknown"  # the final dot was sent and no answer read


class Hint(StrEnum):
    """What the conversation itself can do about the reply before it counts."""

    NONE = ""
    NEW_TOKEN = "new_token"  # noqa: S105 - fetch a new token and log in once more on a new connection; then it counts
    RECONNECT = "reconnect"  # at once on a new connection, once; no strike
    SPLIT = "split"  # keep the recipients accepted so far, send the others in a new transaction at once
    ALONE = "alone"  # try each recipient in a transaction of its own; one of them spoils it for all
    FEWER_SLOTS = "fewer_slots"  # use one session fewer for a minute; somebody else uses the mailbox
    IPV4 = "ipv4"  # close what is open to that host and dial it by IPv4 only for some hours
    SLOWER = "slower"  # use half of the connections, where the path publishes no limits


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
    schedule: tuple[float, ...] = ()
    """Rests in seconds after the first, second, ... strike; the last repeats. Empty: always ``cool_down_s``."""
    park: bool = False
    """The scope rests until an operator resumes it: trying again harms."""
    narrow: Narrow = Narrow.ALL
    hint: Hint = Hint.NONE
    widens: bool = False
    """The same on several accounts means their path: the app or the tenant is at fault (facts m365 §4.1, rule 6)."""
    stops_client: bool = False
    """The content is the likely cause: the client's mail must not spread to other accounts (facts m365 §7)."""
