"""One open session with an upstream and how long it may live (facts m365 §6). Judges no reply, sends no mail."""

from dataclasses import dataclass, field

from node.delivery.endpoint import Endpoint
from node.delivery.errors import WireBroken
from node.delivery.wire import Wire
from node.policy.reply import Reply


@dataclass(slots=True, kw_only=True)
class Phase:
    """How long a part of opening took, for the spans ``relay.connect`` and ``relay.auth``."""

    name: str
    start_ns: int
    end_ns: int = 0
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Connection:
    """An open session, used by one attempt at a time."""

    wire: Wire
    endpoint: Endpoint
    opened_s: float
    """Loop time."""
    extensions: dict[str, str] = field(default_factory=dict)
    peer: str = ""
    used: int = 0
    """Transactions begun."""
    idle_since_s: float = 0.0
    phases: list[Phase] = field(default_factory=list)

    def fit(self, now_s: float, *, waited_for: bool = False) -> bool:
        """Tell whether another transaction may begin: alive, young, not worn out, not idle too long."""
        timings = self.endpoint.timings
        age = now_s - self.opened_s
        idle = bool(self.idle_since_s) and now_s - self.idle_since_s >= timings.yield_idle_s
        if waited_for and (idle or self.used >= timings.yield_messages or age >= timings.yield_s):
            return False
        return (
            self.wire.usable
            and self.used < timings.messages
            and age < timings.age_s
            and (not self.idle_since_s or now_s - self.idle_since_s < timings.idle_s)
        )


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
