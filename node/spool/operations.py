"""What is handed to the spool's threads: messages to append, operations that share a transaction, and maintenance."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.spool.batch import Book
from node.spool.database import Database
from node.spool.work import Arrival, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An operation that shares a transaction: the records it needs, and what it does to them."""

    apply: Callable[[Work], Any]
    messages: Sequence[str] = ()
    attempts: Sequence[str] = ()
    fresh: Sequence[str] = ()
    """Ids of ``messages`` or ``attempts`` that should not exist yet: not looked for unless the database objects."""
    whole: bool = False
    """Fails if what was appended before cannot be put into the database first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """An operation with a transaction of its own, for maintenance."""

    run: Callable[[Database, Book], Any]


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """An operation under way."""

    operation: Arrival | Step | Alone
    future: "asyncio.Future[Any]"
    value: Any = None
    error: Exception | None = None


def _nothing(_work: Work) -> None:
    """Change nothing."""


FLUSH = Step(apply=_nothing, whole=True)
"""Done when everything appended before is in the database, for readers."""
