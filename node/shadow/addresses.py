"""What settled messages are searched by: addresses, client, time; rows written in the transactions of history."""

from collections.abc import Iterable, Iterator
from typing import Final, cast

import msgspec

from node.shadow import statements
from node.shadow.engine import Done
from node.spool.database import Database
from node.spool.rows import Cell
from node.spool.search import key_of

RECIPIENT, SENDER, CLIENT, ALL = range(4)
COMPLETED: Final = "\U0010ffff"
"""Beyond every id."""


class _Recipient(msgspec.Struct, frozen=True):
    address: str
    original: str = ""


class _Named(msgspec.Struct, frozen=True):
    """What of a message's facts names somebody: a third of the time it takes to read all of them."""

    mail_from: str
    header_from: str
    recipients: tuple[_Recipient, ...]
    client: str
    received_ms: int


_named = msgspec.msgpack.Decoder(_Named)


def keys_of(facts: bytes) -> set[tuple[int, str, int]]:
    """Give role, key and when it was received, of all a message is found by; none of one that cannot be read."""
    try:
        named = _named.decode(facts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
    found = {(RECIPIENT, key_of(one.address)) for one in named.recipients}
    found |= {(RECIPIENT, key_of(one.original)) for one in named.recipients if one.original}
    found |= {(SENDER, key_of(each)) for each in (named.header_from, named.mail_from) if each}
    found |= {(CLIENT, named.client), (ALL, "")}
    return {(role, key, named.received_ms) for role, key in found}


def note(database: Database, items: Iterable[tuple[str, bytes]]) -> None:
    """Let messages, by id and facts, be found by their addresses."""
    statements.bulk(database, "add_addresses", list(_rows(items)))


def forget(database: Database, items: Iterable[tuple[str, bytes]]) -> None:
    """Let them be found no more."""
    for row in _rows(items):
        statements.run(database, "drop_address", row)


def _rows(items: Iterable[tuple[str, bytes]]) -> Iterator[tuple[Cell, ...]]:
    for name, facts in items:
        for place in sorted(keys_of(facts)):
            yield *place, name


def complete(database: Database, limit: int) -> Done:
    """Put in some of what was settled before there were such rows; how many, 0 when all are in."""
    after = str(statements.cell(database, "get_meta", ("addressed",)))
    rows = statements.run(database, "past_after", (after, limit)) if after != COMPLETED else []
    note(database, [(str(name), cast("bytes", facts)) for name, _, facts, _ in rows])
    last = str(rows[-1][0]) if len(rows) == limit else COMPLETED
    if last != after:
        statements.run(database, "set_meta", ("addressed", last))
    return Done(value=len(rows))
