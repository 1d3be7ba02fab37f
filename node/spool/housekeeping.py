"""Maintenance transactions of the writer: prune history, erase an address, set an unreadable row aside.

Each is bounded and runs alone between batches. They decide nothing about live mail but that a message nobody can
read is dead, for a person to look at.
"""

from dataclasses import dataclass
from typing import Any, cast

from node.policy.envelope import Direction, NewMessage, Recipient
from node.spool.batch import Book, load, save
from node.spool.contract import JourneyLine
from node.spool.database import Database
from node.spool.erasing import Eraser
from node.spool.rewriting import Rewriter
from node.spool.rows import Cell, Unreadable, facts_of, journey_of, lines_of, message_of, text_json
from node.spool.salvage import SetAside
from node.spool.search import key_of, sender_keys
from node.spool.steps import lose_body
from node.spool.work import Work

ERASE_MESSAGES = 500
"""Messages rewritten in one transaction; the caller comes back for more."""


VACUUM_PAGES = 512
"""Free pages given back to the file system in one idle moment (2 MiB): never long enough to be felt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune dropped: how many messages, and the body files whose rows are gone."""

    messages: int
    files: list[str]


def prune(database: Database, before_ms: int, attempts_before_ms: int, limit: int) -> Pruned:
    """Drop at most ``limit`` messages finished before, dead ones with their bodies too, and as many old attempts."""
    seqs = [int(row[0] or 0) for row in database.rows("past", {"before_ms": before_ms, "limit": limit})]
    files = drop(database, seqs)
    database.run("prune_attempts", {"before_ms": attempts_before_ms, "limit": limit})
    return Pruned(messages=len(seqs), files=files)


def drop(database: Database, seqs: list[int]) -> list[str]:
    """Remove every row of these messages; their body files, to be removed after the commit."""
    chosen = {"seqs": text_json(seqs)}
    bodies = database.rows("files_of", chosen)
    database.many("add_tally", database.rows("tally_of", chosen))
    if bodies:
        database.run("add_body_bytes", (-sum(int(size or 0) for _, size in bodies),))
        database.run("drop_bodies", chosen)
    for table in ("prune_recipients", "prune_journey", "drop_copies", "prune_messages"):
        database.run(table, chosen)
    return [str(file) for file, _ in bodies if file]


def erase(database: Database, book: Book, address: str, actor: str, now_ms: int, after: int) -> tuple[int, int]:
    """Rewrite up to ERASE_MESSAGES finished messages beyond row ``after``; number rewritten, and the last row."""
    eraser = Eraser(address)
    params: dict[str, Cell] = {"key": eraser.key, "after": after, "limit": ERASE_MESSAGES}
    seqs = [int(row[0] or 0) for row in database.rows("erase_candidates", params)]
    for seq, facts, *_ in database.rows("facts", {"seqs": text_json(seqs)}):
        rewrite(database, eraser, int(seq or 0), facts)
        line = JourneyLine(at_ms=now_ms, event="erased", detail={"actor": actor})
        database.bulk("add_lines", [(seq, book.sequence + 1, lines_of([line]))])
    return len(seqs), max(seqs, default=after)


def rewrite(database: Database, rewriter: Rewriter, seq: int, facts: Any) -> None:
    """Take addresses out of one message wherever they stand."""
    message = rewriter.message(_readable(facts))
    database.run("rewrite_message", (*sender_keys(message), facts_of(message), seq))
    for _, index, *rest in database.rows("all_recipients", {"seqs": text_json([seq])}):
        recipient = message.recipients[cast("int", index)]
        original = key_of(recipient.original) if recipient.original else None
        reply = rewriter.text(str(rest[5]))
        database.run("rewrite_recipient", (key_of(recipient.address), original, reply, seq, index))
    for sequence, stored in database.rows("lines_with_sequence", (seq,)):
        lines = [rewriter.line(line) for line in journey_of([cast("bytes", stored)])]
        database.run("rewrite_lines", (lines_of(lines), seq, sequence))


def _readable(facts: Any) -> NewMessage:
    try:
        return message_of(facts if isinstance(facts, bytes) else b"")
    except Unreadable:
        return _stand_in("", 0, 0)


def _stand_in(message_id: str, received_ms: int, recipients: int) -> NewMessage:
    """Facts to show in place of those that cannot be read."""
    unknown = Recipient(address="unreadable@erased.invalid", direction=Direction.EXTERNAL)
    return NewMessage(
        id=message_id,
        client="unreadable",
        plan="",
        mail_from="",
        header_from="",
        tenant="",
        recipients=(unknown,) * recipients,
        size_bytes=0,
        received_ms=received_ms,
        expires_ms=received_ms,
        message_id="",
        no_bounce=True,
    )


def set_aside(database: Database, book: Book, message_id: str, reason: str, aside: SetAside, now_ms: int) -> Work:
    """Keep what there is of a message as files and make its recipients dead."""
    work = load(database, book, (message_id,), ())
    record = work.record(message_id)
    rows = database.rows("facts", {"seqs": text_json([record.seq])})
    facts = rows[0][1] if rows else b""
    data = database.rows("body", (message_id,))
    stored = facts if isinstance(facts, bytes) else str(facts).encode()
    aside.keep(message_id, reason, stored, data[0][1] if data else None)
    lose_body(message_id, reason, now_ms, work)
    save(database, book, work)
    try:
        message_of(facts if isinstance(facts, bytes) else b"")
    except Unreadable:
        stand_in = _stand_in(message_id, now_ms, len(record.entries))
        database.run("rewrite_message", (*sender_keys(stand_in), facts_of(stand_in), record.seq))
    return work


def vacuum(database: Database) -> bool:
    """Give a bounded number of free pages back once they are a quarter of the file; True if more could go."""
    free = database.number_text("PRAGMA freelist_count")
    if free < VACUUM_PAGES or free * 4 < database.number_text("PRAGMA page_count"):
        return False
    database.run_text(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return True
