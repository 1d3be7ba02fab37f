"""Which command may come when: the order of an SMTP session as tables (RFC 5321 §4.1.4, RFC 3207 §4, RFC 4954 §4).

Pure. A verb that is missing from a table is allowed there; one that is present has the reply it gets.
"""

from enum import Enum
from typing import Final

from node.intake.replies import Say


class _Word(Enum):
    """Members are single, so they may be hashed by identity; the library's hash is a call in Python, many a message."""

    __hash__ = object.__hash__


class Phase(_Word):
    """How far a session has come."""

    NEW = "new"  # no HELO or EHLO yet
    READY = "ready"  # greeted, no transaction
    MAIL = "mail"  # a sender is named
    RCPT = "rcpt"  # at least one recipient is accepted


class Mode(_Word):
    """What the next octets are."""

    COMMAND = "command"
    DATA = "data"
    SASL = "sasl"
    TLS = "tls"  # 220 said: the handshake follows
    CLOSE = "close"  # the last reply is given


class Event(_Word):
    """What moves a session on."""

    GREETED = "greeted"
    SENDER = "sender"
    RECIPIENT = "recipient"
    ENDED = "ended"  # data finished, RSET, or given up
    ENCRYPTED = "encrypted"


VERBS: Final = frozenset(
    {
        *(b"HELO", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"NOOP", b"QUIT", b"HELP", b"VRFY", b"EXPN"),
        *(b"STARTTLS", b"AUTH", b"BDAT"),
    }
)
STEPS: Final[dict[Phase, dict[Event, Phase]]] = {
    Phase.NEW: {Event.GREETED: Phase.READY, Event.ENDED: Phase.NEW, Event.ENCRYPTED: Phase.NEW},
    Phase.READY: {
        Event.GREETED: Phase.READY,
        Event.SENDER: Phase.MAIL,
        Event.ENDED: Phase.READY,
        Event.ENCRYPTED: Phase.NEW,
    },
    Phase.MAIL: {Event.GREETED: Phase.READY, Event.RECIPIENT: Phase.RCPT, Event.ENDED: Phase.READY},
    Phase.RCPT: {Event.GREETED: Phase.READY, Event.RECIPIENT: Phase.RCPT, Event.ENDED: Phase.READY},
}
"""A missing event cannot happen there: its command is barred below."""

_NEVER: Final = {b"BDAT": Say.NO_BDAT, b"EXPN": Say.NO_EXPN}
_IN_TRANSACTION: Final = {
    **_NEVER,
    b"MAIL": Say.NESTED_MAIL,
    b"AUTH": Say.AUTH_IN_MAIL,
    b"STARTTLS": Say.TLS_IN_MAIL,
}
BARRED: Final[dict[Phase, dict[bytes, bytes]]] = {
    Phase.NEW: {**_NEVER, **dict.fromkeys((b"MAIL", b"RCPT", b"DATA", b"AUTH", b"VRFY"), Say.HELO_FIRST)},
    Phase.READY: {**_NEVER, b"RCPT": Say.MAIL_FIRST, b"DATA": Say.MAIL_FIRST},
    Phase.MAIL: {**_IN_TRANSACTION, b"DATA": Say.RCPT_FIRST},
    Phase.RCPT: _IN_TRANSACTION,
}
OPEN_BEFORE_TLS: Final = frozenset({b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"HELP", b"STARTTLS"})
OPEN_BEFORE_AUTH: Final = OPEN_BEFORE_TLS | {b"AUTH"}


def barred(phase: Phase, *, tls_missing: bool, auth_missing: bool) -> dict[bytes, bytes]:
    """Verbs refused now, with their replies; order comes before policy."""
    table = dict(BARRED[phase])
    for verb in VERBS:
        if tls_missing and verb not in OPEN_BEFORE_TLS:
            table[verb] = Say.TLS_FIRST
        elif auth_missing and verb not in OPEN_BEFORE_AUTH and verb not in table:
            table[verb] = Say.AUTH_FIRST
    return table


def step(phase: Phase, event: Event) -> Phase:
    """Where an event leads. Raises KeyError for one that cannot happen there."""
    return STEPS[phase][event]
