"""Who fails after the 250, when the report comes and where to: frozen values of the directory. Decides nothing."""

from typing import Literal

from pydantic import Field

from node.settings.base import Part
from node.settings.units import Seconds


class Reports(Part):
    """Reports of failed delivery, as Exchange Online sends them later (facts m365 §1.4)."""

    recipients: dict[str, str] = Field(default_factory=dict)
    """Recipient pattern (``gone*@example.com``) to the status reported, ``5.1.10``."""
    after: tuple[Seconds, Seconds] = (1.0, 3600.0)
    """The report comes between these, evenly on a logarithmic scale; divided by the time scale, by the wall clock."""
    place: Literal["from", "login"] = "from"
    """Whose mailbox gets it where a mailbox sent: the From's, if it is one of the directory, or the login's (A11)."""
    folder: Literal["inbox", "junkemail"] = "inbox"
    """Where in the mailbox."""
    returned: bool = True
    """The header of the message comes back with it."""
    to: str | None = None
    """``host:port`` that takes reports for the envelope sender of mail no mailbox sent; None: they are dropped."""
    readable: tuple[str, ...] | None = None
    """Mailboxes the applications may read; None: all."""
    kept: int = Field(default=10_000, ge=1)
    """Messages kept in one mailbox; the oldest go."""
