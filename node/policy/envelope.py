"""The plain values mail is described by: who sends, to whom, how urgently, and what was promised.

Frozen and slotted; encoded by msgspec when they cross a process or disk boundary. Times are integer
milliseconds since the Unix epoch (UTC) and end in ``_ms``.
"""

from enum import Enum, StrEnum

import msgspec


class Priority(StrEnum):
    """Order of dispatch and share of the reserve (MT-PRIORITY, RFC 6710, folded to three classes)."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


class OnUnknown(StrEnum):
    """What to do with a recipient whose attempt was sent but never answered (design §1, I5)."""

    RESEND = "resend"
    BOUNCE = "bounce"
    VERIFY = "verify"


class Copies(StrEnum):
    """Whether 250 may be said before a second machine has the message (design §5.2)."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    ONE = "one"


class Direction(StrEnum):
    """Whether the recipient's domain is one of the tenant's accepted domains (facts m365 §2.2)."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class RecipientState(StrEnum):
    """Where one recipient of one message stands (design §5.3). ``*`` = final."""

    QUEUED = "queued"  # due now or at next_attempt_ms
    IN_FLIGHT = "in_flight"  # claimed by an attempt
    UNKNOWN = "unknown"  # final dot sent, no answer read; waits for its class's policy (verify: held here)
    DEFERRED = "deferred"  # tried or postponed, due at next_attempt_ms
    HELD = "held"  # by an operator or a plan; not due until released
    DELIVERED = "delivered"  # * the upstream said 2xx
    BOUNCED = "bounced"  # * failed for good, report sent where one is due
    DEAD = "dead"  # * undeliverable bounce or set aside; replay possible
    DELETED = "deleted"  # * removed by an operator


FINAL_STATES = frozenset(
    {RecipientState.DELIVERED, RecipientState.BOUNCED, RecipientState.DEAD, RecipientState.DELETED}
)


class Notify(int, Enum):
    """Bits of RFC 3461 NOTIFY; no bit set means NEVER, DEFAULT means the sender named none."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4
    DEFAULT = 8


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One envelope recipient as accepted at RCPT, after aliasing and redirection."""

    address: str
    """Where the mail goes: ``local@domain``, domain in lower-case A-labels unless SMTPUTF8."""
    direction: Direction
    original: str = ""
    """The address the client named, when aliasing or redirect changed it."""
    orcpt: str = ""
    """RFC 3461 ORCPT, still in xtext, as ``type;xtext``."""
    notify: int = Notify.DEFAULT.value


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message the intake has judged and finished; everything the spool must make durable before 250."""

    id: str
    """UUIDv7, canonical lower-case text; sorts by time of acceptance."""
    client: str
    """Name of the client rule that admitted it; ``bounce`` for our own reports."""
    plan: str
    mail_from: str
    """Envelope sender after rewriting; empty for the null sender."""
    header_from: str
    """Address of the single header From after rewriting (lower-case domain)."""
    tenant: str
    """Tenant that owns the sender's domain."""
    recipients: tuple[Recipient, ...]
    size_bytes: int
    received_ms: int
    expires_ms: int
    """Not attempted after this; then bounced (plan's ``expire``)."""
    message_id: str
    """Internet Message-ID with angle brackets."""
    original_mail_from: str = ""
    envid: str = ""
    """RFC 3461 ENVID, decoded once."""
    ret: str = ""
    """RFC 3461 RET: ``FULL``, ``HDRS`` or empty."""
    eight_bit: bool = False
    """Body holds octets above 127 (BODY=8BITMIME is needed upstream)."""
    smtputf8: bool = False
    priority: Priority = Priority.NORMAL
    on_unknown: OnUnknown = OnUnknown.RESEND
    copies: Copies = Copies.PREFERRED
    held: bool = False
    """Accepted on hold (plan's ``over_limit: hold``)."""
    no_bounce: bool = False
    """Null sender, Auto-Submitted or list mail: never a report for it (RFC 3834, operations §5)."""
    signed: bool = False
    """S/MIME or PGP/MIME: must not be rebuilt."""
    owner: str = ""
    """Address of the client's owner, where bounces may go."""
    traceparent: str = ""
    """W3C trace context of the ``relay.receive`` span: ``00-<trace>-<span>-<flags>``."""
    source: str = ""
    """Peer address as ``ip:port``."""
    listener: str = ""


def lane_of(message: NewMessage, direction: Direction) -> str:
    """Name the dispatch lane: recipients in one lane have the same candidate paths most of the time.

    Bounded by clients x two directions x accepted sender domains; ``/`` cannot occur in any part.
    """
    domain = message.header_from.rpartition("@")[2]
    return f"{message.priority.value}/{message.client}/{direction.value}/{message.tenant}/{domain}"
