"""What a history is made of: one JSON line for each operation, told apart by ``op``. Pure.

The simulator writes what it saw (``login`` to ``ended``), a drill what it did (``fault``) and what the relay still had
at the end (``kept``); the sender's side is the ledger of ``rehearse load``. ``at_ms``: milliseconds since the epoch, on
one clock for one file that never runs backwards.
"""

from typing import Final, Literal

import msgspec

VERSION: Final = 1
Measure = Literal["starts", "sessions", "recipients", "external"]


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", omit_defaults=True):
    """Any line."""

    at_ms: float


class History(Record, frozen=True, kw_only=True, tag="history"):
    """The first line of a file: who wrote it, and in which form."""

    by: str
    version: int = VERSION


class Limit(Record, frozen=True, kw_only=True, tag="limit"):
    """So much the other side allows a scope; said before the scope's first operation."""

    scope: str
    """An account, ``tenant/ID`` or ``acs/NAME``."""
    measure: Measure
    amount: int
    window_s: float = 0.0
    """0: at once (sessions)."""


class Login(Record, frozen=True, kw_only=True, tag="login"):
    """A session counts for an account from now on."""

    scope: str
    session: int
    peer: str = ""


class Gone(Record, frozen=True, kw_only=True, tag="gone"):
    """It does not any more."""

    scope: str
    session: int


class Begun(Record, frozen=True, kw_only=True, tag="begun"):
    """MAIL was taken, or a request to send began: from now on it may be counted."""

    operation: int
    scope: str
    tenant: str = ""
    service: str = ""
    peer: str = ""
    """Address of who sends, and the port."""
    helo: str = ""
    """What it calls itself (EHLO)."""


class Ended(Record, frozen=True, kw_only=True, tag="ended"):
    """The answer left, or the operation broke off."""

    operation: int
    counted: bool = True
    """False: it ended before content was asked for, and nobody can have counted it."""
    taken: bool = False
    answered: bool = False
    """The answer was handed to a living connection. Taken and not answered is an unknown outcome."""
    id: str = ""
    """X-Rehearsal-Id, else Message-ID."""
    recipients: tuple[str, ...] = ()
    external: int = 0
    """How many of them are outside the tenant."""


class Fault(Record, frozen=True, kw_only=True, tag="fault"):
    """Something was done to a node, from ``at_ms`` to ``until_ms``."""

    until_ms: float
    kind: str
    node: str = ""
    source: str = ""
    """Address the node sends from, or the name it says in EHLO; empty: any."""
    silences: bool = False
    """What the node knew of outcomes may be gone with it, or cannot be told meanwhile."""


class Kept(Record, frozen=True, kw_only=True, tag="kept"):
    """The relay still had this at the end: by its queue id, or the message's own."""

    id: str
    recipient: str = ""
    """Empty: all."""
    state: str = "queued"


class Unknown(Record, frozen=True, kw_only=True, tag="unknown"):
    """The relay itself lists an attempt of this message as of unknown outcome."""

    id: str
    node: str = ""


Any = History | Limit | Login | Gone | Begun | Ended | Fault | Kept | Unknown
