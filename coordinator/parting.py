"""Before an address that is well moves elsewhere, the node that serves it sees its sessions out (peers §4.18).

Only a move by will waits for that: while the holder would otherwise stay. It stays meanwhile in full, renewals of the
kernel's lifetime included; whatever ends its right to the address ends the wait too.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from coordinator.address_facts import Facts, Todo
from coordinator.early_facts import Step
from coordinator.place import Place

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Starts work beside the keeper's loop, and wakes the loop at its end."""


class Parting:
    """The wait of one address."""

    def __init__(self, place: Place, start: Start) -> None:
        """Of the address kept there."""
        self._place, self._start = place, start
        self._task: asyncio.Task[None] | None = None

    def delayed(self, step: Step, facts: Facts, decide: Callable[[Facts], Step]) -> Step:
        """Give what to do now: what was decided or, while sessions are seen out, what whoever stays would do."""
        part = self._place.part
        if part is None or step.todo.todo is not Todo.REMOVE:
            self._task = None
            return step
        stays = decide(replace(facts, eligible=True, moved=False, yields=False))
        if stays.todo.todo is Todo.REMOVE:  # not by will
            return step
        if self._task is None:
            self._place.event("parting")
            self._task = self._start(part())
        return step if self._task.done() else stays
