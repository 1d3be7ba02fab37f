"""One open session with an upstream and how long it may live (facts m365 §6). Judges no reply, sends no mail.

``Session`` is what the pool keeps; ``Connection`` is one by SMTP, ``GraphLine`` (graph_line.py) one over HTTP.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from node.delivery.endpoint import Endpoint
from node.delivery.errors import WireBroken
from node.delivery.wire import Wire
from node.policy.reply import Reply
from node.telemetry.contract import AttributeValue


@dataclass(slots=True, kw_only=True)
class Phase:
    """How long a part of opening took, for the spans ``relay.connect`` and ``relay.auth``."""

    name: str
    start_ns: int
    end_ns: int = 0
    error: str = ""
    attributes: dict[str, AttributeValue] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Session(ABC):
    """An open session, used by one attempt at a time."""

    endpoint: Endpoint
    opened_s: float
    """Loop time."""
    used: int = 0
    """Transactions begun."""
    idle_since_s: float = 0.0

    @property
    @abstractmethod
    def usable(self) -> bool:
        """Nothing went wrong so far."""

    @property
    @abstractmethod
    def silent(self) -> bool:
        """The other side stopped answering: it may still count the session."""

    @abstractmethod
    def close(self) -> None:
        """End it, politely where that can be."""

    def fit(self, now_s: float, *, waited_for: bool = False) -> bool:
        """Tell whether another transaction may begin: alive, young, not worn out, not idle too long."""
        timings = self.endpoint.timings
        age = now_s - self.opened_s
        idle = bool(self.idle_since_s) and now_s - self.idle_since_s >= timings.yield_idle_s
        if waited_for and (idle or self.used >= timings.yield_messages or age >= timings.yield_s):
            return False
        return (
            self.usable
            and self.used < timings.messages
            and age < timings.age_s
            and (not self.idle_since_s or now_s - self.idle_since_s < timings.idle_s)
        )


@dataclass(slots=True, kw_only=True)
class Connection(Session):
    """One by SMTP."""

    wire: Wire
    host: str = ""
    """Name the certificate is verified for."""
    extensions: dict[str, str] = field(default_factory=dict)
    peer: str = ""
    phases: list[Phase] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """See Session."""
        return self.wire.usable

    @property
    def silent(self) -> bool:
        """See Session."""
        return self.wire.silent

    def close(self) -> None:
        """Say QUIT and close."""
        self.wire.goodbye()


def extensions_of(text: str) -> dict[str, str]:
    """Read an EHLO answer: keyword in upper case to its parameters (RFC 5321 §4.1.1.1)."""
    found: dict[str, str] = {}
    for line in text.split("\n")[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword:
            found[keyword.upper()] = parameters.strip()
    return found


def broken_reply(error: WireBroken) -> Reply:
    """Give the reply with code 0 that stands for a broken conversation."""
    return Reply(code=0, text=f"{error.word} {error.detail}".strip())
