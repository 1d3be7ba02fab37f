"""Transactions of the writer about pairings: give one a number, attach messages, note what the other end has.

Each is one transaction of its own and touches the rows named, however many there are besides. They decide nothing
about ownership.
"""

from collections.abc import Sequence

import msgspec

from node.spool.batch import Book
from node.spool.copies import complete_copies, pairs_of
from node.spool.database import Database
from node.spool.errors import WrongRequest
from node.spool.housekeeping import drop
from node.spool.pairing_reading import HEARD, heard_of
from node.spool.rows import text_json

NEWEST = 256
"""Pairs kept although they have no messages: what the other end stored under one may still be asked for."""

CHUNK = 5_000
"""Rows changed in one transaction where all of a pairing's are meant: a tenth of a second."""


def enter(database: Database, book: Book) -> None:
    """From now on every live message has a row: those that came in before are here alone."""
    if not database.cell("get_meta", ("paired",)):
        complete_copies(database)
        database.run("set_meta", ("paired", 1))
    # Should the commit fail, rows too many are written from here on: they say what is so.
    book.pairs = pairs_of(database)


def attach(database: Database, book: Book, spool: str, shadow: str, epoch: int) -> int:
    """Give the number of a pairing's epoch; see the contract."""
    enter(database, book)
    found = database.cell("pair_number", (spool, shadow, epoch))
    if found is None:
        found = int(database.cell("next_pair") or 0)
        database.run("add_pair", (found, spool, shadow, epoch))
        database.run("prune_pairs", {"newest": NEWEST})
        book.pairs = pairs_of(database)
    return int(found)


def name_store(database: Database, book: Book, number: int, store: str) -> None:
    """See the contract; raises WrongRequest."""
    _need(book, number)
    database.run("name_store", (store, number))


def _need(book: Book, number: int) -> None:
    if number and number not in (book.pairs or ()):
        raise WrongRequest(f"no pairing has number {number} in this spool")


def confirm(database: Database, _book: Book, number: int, message_ids: Sequence[str]) -> None:
    """See the contract."""
    database.run("confirm", {"number": number, "ids": text_json(message_ids)})


def unconfirm(database: Database, _book: Book, number: int) -> int:
    """Of at most CHUNK messages; number changed."""
    return database.run("unconfirm", {"number": number, "limit": CHUNK})


def reattach(database: Database, book: Book, message_ids: Sequence[str], number: int) -> list[str]:
    """See the contract; raises WrongRequest for a number nobody was given."""
    _need(book, number)
    rows = database.rows("movable", {"ids": text_json(dict.fromkeys(message_ids))})
    database.run("reattach", {"seqs": text_json(int(seq or 0) for seq, _ in rows), "number": number})
    return [str(message_id) for _, message_id in rows]


def told(database: Database, _book: Book, message_ids: Sequence[str]) -> None:
    """See the contract."""
    database.run("told", {"ids": text_json(message_ids)})


def remember(database: Database, _book: Book, sequence: int) -> None:
    """See the contract."""
    database.run("set_meta", ("told", sequence))


def note_heard(database: Database, book: Book, number: int, sequence: int) -> int:
    """See the contract; raises WrongRequest. What was committed before was told of by this same thread."""
    _need(book, number)
    marks = {each: mark for each, mark in heard_of(database).items() if each in (book.pairs or ())}
    database.run("set_meta", (HEARD, msgspec.json.encode(marks | {number: sequence}).decode()))
    return book.sequence


def yield_up(database: Database, _book: Book, message_ids: Sequence[str]) -> list[str]:
    """Drop live messages wholly; their body files. Raises WrongRequest, having changed nothing, if one is in flight."""
    rows = database.rows("live_of", {"ids": text_json(dict.fromkeys(message_ids))})
    flying = [str(message_id) for _, message_id, moving in rows if moving]
    if flying:
        raise WrongRequest(f"message {flying[0]} is in flight and cannot be given up")
    return drop(database, [int(seq or 0) for seq, *_ in rows])
