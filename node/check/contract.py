"""What a check finds, and what it needs done: tokens, logins, one message, a look into a mailbox. Values and protocols.

The probes are the delivery's own: what is tested is the way mail takes, not a copy of it.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from node.m365.token import AccessToken
from node.policy.reply import Reply, Stage
from node.settings.model import Settings


class Grade(StrEnum):
    """How a finding counts."""

    GOOD = "good"
    NOTE = "note"  # could not be looked at, or is as it is
    DOUBT = "doubt"  # works, and should not stay so
    BAD = "bad"  # mail will fail


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at."""

    tenant: str
    subject: str
    """The account, path, file or domain: ``submission relay1@contoso.com``."""
    what: str
    """What was tried, in two or three words: ``log in``."""
    grade: Grade
    text: str = ""
    """The cause, in words."""
    advice: str = ""
    """What to do."""
    said: str = ""
    """What the other side said, cut and printable."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How far a conversation came: the stage of the last answer, and the answer (code 0: none)."""

    stage: Stage
    reply: Reply
    where: str = ""
    """Host it led to."""

    @property
    def good(self) -> bool:
        """Nothing was refused."""
        return self.reply.code // 100 == 2  # noqa: PLR2004 - positive completion, RFC 5321 §4.2.1


class WayToTest(msgspec.Struct, frozen=True, kw_only=True):
    """One way of a tenant."""

    name: str
    """``path:account``."""
    path: str
    account: str
    mailbox: str = ""
    """Login; empty on ways without."""
    place: str = ""
    """Where it leads, for people."""
    flow: str = ""
    """Name of the tokens it needs; empty: none."""


class Prober(Protocol):
    """Does what the checks ask. Raises nothing for what the other side says."""

    async def token(self, flow: str) -> AccessToken:
        """Give a fresh token; raises TokenRefused, TokenUnavailable."""
        ...

    async def login(self, way: str) -> Told:
        """Open a connection and log in, then close it."""
        ...

    async def envelope(self, way: str, mail_from: str, to: str) -> Told:
        """Say MAIL and RCPT and take both back: nothing is sent."""
        ...

    async def send(self, way: str, mail_from: str, to: str, data: bytes) -> Told:
        """Send one message."""
        ...

    async def look(self, way: str) -> Told:
        """Ask Graph for a folder of the way's mailbox; nothing is read."""
        ...

    async def draft(self, way: str) -> Told:
        """Write a draft in the way's mailbox by Graph, and delete it again."""
        ...

    async def readable(self, tenant: str, mailbox: str) -> str:
        """Look into a mailbox; empty: it can be read, else why not."""
        ...

    async def arrived(self, tenant: str, mailbox: str, message_id: str) -> bytes | None:
        """Wait for a message to lie in a mailbox and give its header; None: not within a minute, or not readable."""
        ...

    async def domains(self, tenant: str) -> tuple[str, ...] | None:
        """Give the tenant's own list of accepted domains; None: the app may not see it."""
        ...


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What a check may look at."""

    settings: Settings
    tenant: str
    ways: tuple[WayToTest, ...]
    prober: Prober
    now_ms: int
    sends: bool
    """Messages may be sent; False: only what needs none is tested."""
    pairs: int
    """At most so many From addresses are tried with one account."""
    to: str = ""
    """Where test messages go instead of to the account itself."""

    def finding(self, subject: str, what: str, grade: Grade, text: str = "", **more: str) -> Finding:
        """Make a finding about this tenant."""
        return Finding(tenant=self.tenant, subject=subject, what=what, grade=grade, text=text, **more)
