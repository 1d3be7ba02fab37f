"""Between the door and the spool: once a message is durable, wakes the lanes it waits in."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from node.intake.local import Store
from node.policy.envelope import NewMessage, lane_of
from node.spool.contract import Accepted
from node.spool.inlets import Inlet
from node.spool.sqlite import SqliteSpool


class Returned(Protocol):
    """Who takes mail for the return path."""

    def wants(self, item: Accepted) -> bool:
        """Tell whether a message is for it."""
        ...

    def take(self, item: Accepted) -> "asyncio.Future[None]":
        """Deal with it; done when what it says is durable."""
        ...


class Inflow:
    """What the door may do with the spool: append, and ask where a large body goes."""

    def __init__(self, store: Store, wake: Callable[[Iterable[str]], None]) -> None:
        """Keep where mail goes."""
        self.store = store
        """The spool, or what stands before it in a cluster."""
        self.returned: Returned | None = None
        """Takes mail for the return path, which ends here; None: it is mail like any other."""
        self._wake = wake

    def append_soon(self, item: Accepted) -> "asyncio.Future[None]":
        """Make one message durable, then let delivery look at its lanes."""
        reader = self._reader(item)
        if reader is not None:
            return reader.take(item)
        stored = self.store.append_soon(item)
        stored.add_done_callback(partial(self._stored, item.message))
        return stored

    def _stored(self, message: NewMessage, stored: "asyncio.Future[None]") -> None:
        if not stored.cancelled() and stored.exception() is None:
            self._heard([message])

    def feed(self, inlet: Inlet) -> bool:
        """Let a worker's mail go straight to the spool, if it stands alone; delivery hears of it all the same."""
        return isinstance(self.store, SqliteSpool) and self.store.feed(inlet, self._heard, self._for_the_spool)

    def _reader(self, item: Accepted) -> Returned | None:
        """Give who takes a message instead of the spool; asked in whichever thread took it in."""
        return self.returned if self.returned is not None and self.returned.wants(item) else None

    def _for_the_spool(self, item: Accepted) -> bool:
        return self._reader(item) is None

    def _heard(self, messages: Sequence[NewMessage]) -> None:
        self._wake({lane_of(one, to.direction) for one in messages if not one.held for to in one.recipients})

    def new_body_path(self, message_id: str) -> Path:
        """Ask the store."""
        return self.store.new_body_path(message_id)
