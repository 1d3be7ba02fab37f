"""The door within the core's process: straight to the spool, the budgets and the authenticator.

Decides nothing; maps calls. Its state is set by whoever watches disk, memory and queue.
"""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from node.cluster.contract import Budgets, Refusal
from node.intake.authentication import Authenticated, Refused
from node.intake.door import DoorState, Sight, SignIn
from node.intake.sightings import SightingBook
from node.spool.contract import Accepted
from node.spool.inlets import Inlet


class Verifier(Protocol):
    """Who checks sign-ins: the authenticator."""

    async def verify(self, user: str, password: bytes, peer_ip: str) -> Authenticated | Refused:
        """Check one pair."""
        ...


class Store(Protocol):
    """Where mail goes: the spool, or what stands before it."""

    def append_soon(self, item: Accepted) -> "Future[None]":
        """Done when the message is durable."""
        ...

    def new_body_path(self, message_id: str) -> Path:
        """Where a large body is written before."""
        ...


class FedStore(Store, Protocol):
    """A store that may also take mail past the event loop."""

    def feed(self, inlet: Inlet) -> bool:
        """Take mail from an inlet until its end; False: it must all come by ``append_soon``."""
        ...


class LocalDoor:
    """Door of the core process, also behind the channel that serves the workers."""

    def __init__(
        self, store: FedStore, budgets: Budgets, *, verifier: Verifier | None = None, book: SightingBook | None = None
    ) -> None:
        self._store = store
        self._budgets = budgets
        self._verifier = verifier
        self._state = DoorState()
        self._listeners: list[Callable[[DoorState], None]] = []
        self.book = book or SightingBook()

    def append(self, item: Accepted) -> "Future[None]":
        """Hand one message to the store."""
        return self._store.append_soon(item)

    def feed(self, inlet: Inlet) -> bool:
        """Let a worker's mail go straight to the store, if that takes it so."""
        return self._store.feed(inlet)

    def admit(self, client: str, recipients: int, held: int) -> "Future[Refusal | None]":
        """Swap one reservation for another; both steps happen without a wait between."""
        now_ms = _now_ms()
        if held:
            self._budgets.client_done(client, held, 0, now_ms)
        refusal = self._budgets.admit_client(client, recipients, now_ms)
        if refusal is not None and held:
            self._budgets.admit_client(client, held, now_ms)
        answer: Future[Refusal | None] = asyncio.get_running_loop().create_future()
        answer.set_result(refusal)
        return answer

    def client_done(self, client: str, reserved: int, used: int) -> None:
        """End a reservation."""
        self._budgets.client_done(client, reserved, used, _now_ms())

    def state(self) -> DoorState:
        """The state last set."""
        return self._state

    def set_state(self, state: DoorState) -> None:
        """Open or shut the door; workers are told through the channel."""
        if state != self._state:
            self._state = state
            for listener in tuple(self._listeners):
                listener(state)

    def watch_state(self, listener: Callable[[DoorState], None]) -> Callable[[], None]:
        """Call ``listener`` at each change until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def sighting(self, client: str, what: Sight, address: str) -> None:
        """Write into the weak-client book."""
        self.book.note(client, what, address, _now_ms())

    def sightings(self, client: str, what: Sight, address: str, amount: int) -> None:
        """Write what a worker gathered into the book."""
        self.book.note(client, what, address, _now_ms(), amount)

    def new_body_path(self, message_id: str) -> Path:
        """Ask the store."""
        return self._store.new_body_path(message_id)

    async def verify(self, user: str, password: bytes, address: str) -> SignIn:
        """Ask the authenticator."""
        if self._verifier is None:
            return SignIn()
        outcome = await self._verifier.verify(user, password, address)
        if isinstance(outcome, Authenticated):
            return SignIn(user=outcome.user)
        return SignIn(delay_s=outcome.delay_s, temporary=outcome.temporary)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
