"""What all sessions of one process share, and what one listener offers: the house and its gates.

Holds the rules in force and the bounds of the front door; swapped whole on reload. Decides no single message.
"""

import re
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from node.intake import replies
from node.intake.door import Door
from node.intake.sequence import Phase, barred
from node.intake.sockets import may_filter
from node.policy.clients import ClientRule, Network, plain_address
from node.policy.rulebook import IntakeRules
from node.settings.host import Limits, Listener
from node.telemetry.contract import Telemetry
from node.tls.server import ServerTls

INLINE_BODY_BYTES: Final = 256 << 10
"""Larger bodies go to a file as they arrive (design §5.2)."""
DATA_SHARE_BYTES: Final = 1 << 20
"""Set aside for each message in transfer: the inline part, one part being written, one gathered, one read buffer."""
_REASONS: Final[dict[bytes, str]] = {
    value: name.lower() for name, value in vars(replies.Say).items() if isinstance(value, bytes)
}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:\[\]-]")


def reason_of(reply: bytes) -> str:
    """The stable word of a fixed reply, for the counter of refusals."""
    return _REASONS.get(reply, "other")


@dataclass(slots=True, kw_only=True)
class House:
    """Shared by every session of this process."""

    rules: IntakeRules
    limits: Limits
    door: Door
    telemetry: Telemetry
    pool: Executor
    transfers_max: int
    """Messages in transfer at once: the memory bound divided by what each may hold."""
    sessions_max: int
    sessions_per_address_max: int
    clock_s: float = 0.0
    """Coarse monotonic time, set by the sweep; good enough for idle times and free to read."""
    transfers: int = 0
    hears: bool = field(default_factory=lambda: not may_filter())
    """Connections may come about deaf: newcomers are held back by their hops (``sockets.py``), maybe since before this
    process began in the place of another."""
    by_address: dict[str, int] = field(default_factory=dict)

    def begin_transfer(self) -> bool:
        """Set a message's memory aside; False when the bound is reached."""
        if self.transfers >= self.transfers_max:
            return False
        self.transfers += 1
        return True

    def end_transfer(self) -> None:
        """Give a message's memory back."""
        self.transfers -= 1


class Gate:
    """One listener, with everything a session asks of it worked out beforehand."""

    def __init__(self, name: str, listener: Listener, house: House, tls: ServerTls | None) -> None:
        self.name = name
        self.listener = listener
        self.house = house
        self.tls = tls
        self.legacy = listener.profile == "legacy"
        self.normalise = (listener.line_endings or ("normalise" if self.legacy else "strict")) == "normalise"
        self.implicit_tls = listener.tls == "implicit"
        self.starttls = tls is not None and listener.tls in ("optional", "required")
        self.tls_required = listener.tls in ("required", "implicit")
        self.auth_required = listener.auth == "required"
        self.networks = listener.networks
        self.proxy_from = listener.proxy_from
        self.banner = f"220 {house.rules.hostname} ESMTP m365-relay\r\n".encode("ascii", "replace")
        self._barred = {
            (tls_on, authenticated): {
                phase: barred(
                    phase,
                    tls_missing=self.tls_required and not tls_on,
                    auth_missing=self.auth_required and not authenticated,
                )
                for phase in Phase
            }
            for tls_on in (False, True)
            for authenticated in (False, True)
        }
        self._ehlo: dict[tuple[bool, bool, int, int], bytes] = {}

    def barred(self, *, tls_on: bool, authenticated: bool) -> dict[Phase, dict[bytes, bytes]]:
        """Verbs refused in this state of a session, by its phase."""
        return self._barred[(tls_on, authenticated)]

    def auth_offered(self, *, tls_on: bool) -> bool:
        """Whether AUTH works here now: never in clear but on a legacy listener (operations §5)."""
        return self.listener.auth != "none" and (tls_on or self.legacy)

    def ehlo(self, *, tls_on: bool, authenticated: bool, rule: ClientRule | None) -> bytes:
        """The answer to EHLO: every extension offered works in this very state."""
        size = min(self.house.rules.size_bytes, rule.size_bytes) if rule else self.house.rules.size_bytes
        key = (tls_on, authenticated, size, rule.max_recipients if rule else 0)
        known = self._ehlo.get(key)
        if known is None:
            known = self._ehlo[key] = self._make_ehlo(key)
        return known

    def _make_ehlo(self, key: tuple[bool, bool, int, int]) -> bytes:
        tls_on, authenticated, size, recipients = key
        limits = f"LIMITS MAILMAX={self.house.limits.messages_per_session}"
        offers = [
            self.house.rules.hostname,
            f"SIZE {size}",
            *("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "MT-PRIORITY"),
            f"{limits} RCPTMAX={recipients}" if recipients else limits,
        ]
        if self.starttls and not tls_on:
            offers.append("STARTTLS")
        if self.auth_offered(tls_on=tls_on) and not authenticated:
            offers.append("AUTH PLAIN LOGIN")
        return replies.lines(250, offers)


def within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address (IPv4-mapped counts as IPv4) lies in one of the networks."""
    try:
        address = address_of(ip)
    except ValueError:
        return False
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def address_of(ip: str) -> IPv4Address | IPv6Address:
    """A peer's address as a value; printers come back from the same few thousand addresses. Raises ValueError."""
    return plain_address(ip)


def plain_ip(ip: str) -> str:
    """A peer's address as text, IPv4-mapped IPv6 as IPv4, without a zone."""
    if ":" not in ip:
        return ip
    try:
        return str(plain_address(ip))
    except ValueError:
        return str(ip_address("::"))


def now_ms() -> int:
    """Wall clock, milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
