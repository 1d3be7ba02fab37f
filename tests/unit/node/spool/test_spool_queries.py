"""The loader of named queries, and that every query finds the index it was written for."""

import re
import sqlite3
from pathlib import Path

import pytest

from node.spool.place import file_system_of
from node.spool.queries import bulk, migrations, parse, queries, query


def test_fragments_are_put_in_and_comments_dropped():
    text = "-- fragment: f\na = 1\n-- remark\n-- name: q\nSELECT :::f AND b;\n"
    assert parse(text) == {"q": "SELECT a = 1 AND b"}


@pytest.mark.parametrize("text", ["-- name: q\n1\n-- name: q\n2\n", "-- name: q\n:::gone\n"])
def test_mistakes_are_named(text):
    with pytest.raises(ValueError, match=r"q is defined twice|no fragment gone"):
        parse(text)


def test_bulk_repeats_the_marked_row():
    assert bulk("add_lines", 3).endswith("VALUES (?, ?, ?), (?, ?, ?), (?, ?, ?)")
    with pytest.raises(ValueError, match="row markers"):
        bulk("lanes", 3)


def plan(name):
    connection = sqlite3.connect(":memory:")
    for each in migrations():
        connection.executescript(each.text)
    text = query(name)
    marks = text.count("?")
    params = [None] * marks if marks else dict.fromkeys(re.findall(r":(\w+)", text))
    rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", params).fetchall()
    connection.close()
    return [row[3] for row in rows]


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_query_is_valid(name):
    text = query(name)
    if "/*rows*/" in text:
        text = bulk(name, 1)
    connection = sqlite3.connect(":memory:")
    for each in migrations():
        connection.executescript(each.text)
    marks = text.count("?")
    connection.execute(f"EXPLAIN {text}", [None] * marks if marks else dict.fromkeys(re.findall(r":(\w+)", text)))
    connection.close()


GROWS = {"messages", "recipients", "bodies", "journey", "attempts", "copies", "m", "r", "b", "a", "c", "y"}
WHOLE = {"recount", "recount_bodies", "bodiless", "last_seq", "body_files", "find_by_time", "open_attempts"}
WHOLE |= {
    "recount_received",
    "without_copies",
    "mend_orphans",
    "mend_settled",
    "mend_strange",
    "mend_done",
    "recount_copies",
    "any_copy",
}


@pytest.mark.parametrize("name", sorted(set(queries()) - WHOLE))
def test_no_query_walks_a_table_that_grows(name):
    if "/*rows*/" in query(name):
        return
    scans = [step for step in plan(name) if step.startswith("SCAN")]
    assert not [step for step in scans if step.split()[1] in GROWS and "waiting" not in step], scans


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("peek_order", "waiting_by_due (lane=? AND due_ms<?)"),
        ("due_recipients", "PRIMARY KEY (message=?)"),
        ("unknown_order", "parked (state=?)"),
        ("expired_order", "messages_live (expires_ms<?)"),
        ("past", "messages_by_time (received_ms<?)"),
        ("here", "copies_by_pairing (pairing=? AND state=?)"),
        ("here", "copies_careful (pairing=?)"),
        ("here", "parked (state=?)"),
        ("standing_order", "copies_by_pairing (pairing=? AND state=? AND id>?)"),
        ("untold", "copies_by_pairing (pairing=? AND state=?)"),
        ("unconfirm", "copies_by_pairing (pairing=? AND state=?)"),
        ("prune_pairs", "copies_by_pairing (pairing=?)"),
        ("next_pair", "copies_by_pairing"),
        ("without_copies", "messages_live"),
        ("prune_attempts", "attempts_by_start (started_ms<?)"),
    ],
)
def test_the_index_meant_is_the_index_used(name, index):
    assert any(index in step for step in plan(name)), plan(name)


@pytest.mark.parametrize("name", ["confirm", "told", "reattach", "settle_copies", "drop_copies"])
def test_rows_named_are_found_by_their_key(name):
    """Not by the pairing's index: a pairing may have a million of them."""
    assert any("copies USING INTEGER PRIMARY KEY (rowid=?)" in step for step in plan(name)), plan(name)


MOUNTS = (
    "22 1 253:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "30 22 0:40 / /srv/mail\\040spool rw shared:5 master:1 - nfs4 server:/x rw\n"
    "31 22 0:41 / /over rw - tmpfs t rw\n32 22 0:42 / /over rw - fuse.sshfs s rw\nshort line\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/spool", "ext4"), ("/srv/mail spool/a", "nfs4"), ("/srv/mail", "ext4"), ("/over/x", "fuse.sshfs")],
)
def test_the_file_system_of_a_path(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind


def test_no_mountinfo_says_nothing():
    assert file_system_of(Path("/x"), "") == ""
