"""What is seen from outside: every receipt of the simulator, and each node's status twice a second."""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final

from tests.durability.machine import WAITING, Machine
from tests.durability.world import NODES, World

LOOK_S: Final = 0.4
_RECEIVED = re.compile(r"by (relay-[abc])\.test .*?\tid ([0-9a-f-]{36});", re.DOTALL)
_TOOK_OVER = re.compile(r'"took over (\d+) messages of (relay-[abc])"')
_ENDED = re.compile(r'"event": "may not send: ')
_BY_ADDRESS: Final = {address: name for name, address in NODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One message as the simulator took it."""

    at_ms: int
    id: str
    queue_id: str
    accepted_by: str
    sent_by: str
    recipients: tuple[str, ...]

    @property
    def accepted_ms(self) -> int:
        """When the node gave it its id (UUIDv7)."""
        return accepted_ms(self.queue_id)


def accepted_ms(queue_id: str) -> int:
    """Read the moment out of a queue id."""
    return int(queue_id.replace("-", "")[:12], 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A node's word on its copies at a moment."""

    at_ms: int
    node: str
    ready: bool
    reasons: tuple[str, ...]
    shadow: str
    unprotected: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What a node said when it had taken over another's mail."""

    at_ms: int
    by: str
    of: str
    messages: int


def takeovers(by: str, log: Iterable[str]) -> Iterator[Takeover]:
    """Read a node's log."""
    for line in log:
        found = _TOOK_OVER.search(line)
        if found:
            yield Takeover(at_ms=_at_ms(line), by=by, of=found[2], messages=int(found[1]))


def sessions_ended(log: Iterable[str]) -> list[int]:
    """Read a node's log: when it had to stop sending, whatever for; a starved machine is reason enough."""
    return [_at_ms(line) for line in log if _ENDED.search(line)]


def _at_ms(line: str) -> int:
    return int(datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() * 1000)


@dataclass
class Watch:
    """Looks when it is told to; keeps everything."""

    world: World
    receipts: list[Receipt] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    _number: int = 0
    _looked_s: float = 0.0

    def look(self) -> bool:
        """Look, unless that was done a moment ago; whether it was not."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return False
        self._looked_s = time.monotonic()
        self.take()
        for machine in self.world.machines.values():
            self.state(machine)
        return True

    def take(self) -> list[Receipt]:
        """Fetch the receipts that came since."""
        fresh = []
        while more := self.world.cloud.ask(f"/receipts?limit=2000&after={self._number}"):
            self._number = more[-1]["number"]
            fresh += [receipt for one in more if (receipt := _read(one)) is not None]
        self.receipts += fresh
        return fresh

    def state(self, machine: Machine) -> Seen | None:
        """Ask one node how it stands; None without an answer."""
        status = machine.status()
        if status is None:
            return None
        copies = status["copies"] or {}
        found = Seen(
            at_ms=now_ms(), node=machine.name, ready=status["readiness"]["ready"],
            reasons=tuple(status["readiness"]["reasons"]), shadow=copies.get("shadow", ""),
            unprotected=copies.get("unprotected", 0), waiting=waiting(status["by_state"]),
        )  # fmt: skip
        self.seen.append(found)
        with (self.world.home / "seen").open("a") as notes:
            notes.write(json.dumps(asdict(found)) + "\n")
        return found

    def takeovers(self) -> list[Takeover]:
        """Give what all logs say of mail taken over, in order."""
        found = []
        for machine in self.world.machines.values():
            with machine.node.log.open(errors="replace") as log:
                found += takeovers(machine.name, log)
        return sorted(found, key=lambda one: one.at_ms)

    def sessions_ended(self) -> list[tuple[str, int]]:
        """Give each node and moment at which it had to stop sending, by its own log."""
        found = []
        for machine in self.world.machines.values():
            with machine.node.log.open(errors="replace") as log:
                found += [(machine.name, at_ms) for at_ms in sessions_ended(log)]
        return found

    def states(self) -> list[Seen | None]:
        return [self.state(machine) for machine in self.world.machines.values()]


class Wholeness:
    """Whether all nodes are ready, each copies to another, and nothing from before lies on one machine alone.

    Mail comes in all the time, and for a moment each message is only here; so it is enough that a node has said once,
    since its shadow is the one it has, that nothing is.
    """

    def __init__(self) -> None:
        self._shadows: dict[str, str] = {}

    def look(self, states: Iterable[Seen | None]) -> bool:
        """Take what all nodes say now, None for one that does not answer; whether all is well."""
        every = list(states)
        there = {one.node: one for one in every if one is not None and one.ready and one.shadow}
        self._shadows = {name: to for name, to in self._shadows.items() if name in there and there[name].shadow == to}
        self._shadows |= {name: one.shadow for name, one in there.items() if not one.unprotected}
        return len(self._shadows) == len(every)


def waiting(by_state: dict[str, int]) -> int:
    return sum(by_state.get(state, 0) for state in WAITING)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _read(one: dict) -> Receipt | None:
    found = _RECEIVED.search(one["headers"])
    if found is None:  # a report of the relay's own
        return None
    return Receipt(
        at_ms=one["at_ms"], id=one["id"], queue_id=found[2], accepted_by=found[1],
        sent_by=_BY_ADDRESS.get(one["peer"].rpartition(":")[0].strip("[]"), one["peer"]),
        recipients=tuple(one["recipients"]),
    )  # fmt: skip
