"""The parts of the settings that speak of mail that comes back: our own reports, reports to us, suppression."""

from typing import Literal

from pydantic import Field

from node.settings.base import Mailbox, Part, SecretRef
from node.settings.nets import Network
from node.settings.units import Seconds


class Bounces(Part):
    """Where our own reports come from and go, and where reports on our mail come back to."""

    sender: Mailbox | None = Field(default=None, alias="from")
    """Sender of our own reports; at the tenant's first domain when absent."""
    fallback: Mailbox | None = None
    """Who gets reports nobody else may have."""
    return_path: Mailbox | None = None
    """Envelope sender of mail by connector, direct send, ACS, smart host, with ``+`` and key: reports come back to it.

    Where a tenant does not own its domain, the same name at the tenant's first domain. Absent: the sender's own."""
    key: SecretRef | None = None
    """Secret the return path is keyed with, the same on every node; made by this node when absent."""
    former_key: SecretRef | None = None
    """The one before it: still read while mail sent with it may come back."""
    accept_from: tuple[Network, ...] = ()
    """Networks that may hand in mail for the return path, and for nothing else: the tenant's side."""
    digest: Seconds = 3600.0
    """A client's owner is told of mail that bounced after delivery at most so often; 0s: never."""


class Ndrs(Part):
    """Reading Microsoft's reports out of mailboxes (operations M8); needs ``Mail.Read`` for them and nothing else."""

    mailboxes: tuple[Mailbox, ...] = ()
    """Mailboxes read besides the service accounts: shared From addresses, the return path's."""
    accounts: bool = True
    """The service accounts' own mailboxes are read."""
    every: Seconds = 60.0
    """How often each is looked at."""


class Suppression(Part):
    """Addresses that failed for good and would only fail again."""

    mode: Literal["off", "observe", "refuse"] = "observe"
    """observe: listed and counted; refuse: also refused at RCPT."""
    times: int = Field(default=2, ge=1, le=100)
    """Failures before an address is listed."""
    keep: Seconds = 7 * 86_400.0
    """How long it stays listed after the last one."""
