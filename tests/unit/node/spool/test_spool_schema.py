"""Which migrations are applied at which level, and which program may use what they leave."""

import pytest

from node.shadow import statements
from node.spool.queries import migrations
from node.spool.schema import Found, Migration, Schema, after, migration_of, pending, refusal

BASE = migrations()
NEWEST = BASE[-1].number
TABLE = "CREATE TABLE notes (a);\n"


def step(number, level=0, since=""):
    return Migration(number=number, text=TABLE, level=level, since=since)


ADDED, BREAKING, LATER = step(4), step(5, 2, "0.2.0"), step(6)
ALL = (step(1, 1), step(2, 1), step(3, 1), ADDED, BREAKING, LATER)


@pytest.mark.parametrize(
    ("found", "level", "applied"),
    [
        (0, 1, [1, 2, 3, 4]),
        (3, 1, [4]),
        (4, 1, []),
        (3, 2, [4, 5, 6]),
        (4, 2, [5, 6]),
        (6, 2, []),
        (6, 1, []),
        (9, 2, []),
    ],
)
def test_what_waits_for_a_level_waits_with_all_that_comes_after_it(found, level, applied):
    assert [each.number for each in pending(found, Schema(migrations=ALL, level=level))] == applied


@pytest.mark.parametrize(("level", "number"), [(0, 0), (1, 4), (2, 6), (3, 6)])
def test_the_schema_written_at_a_level(level, number):
    assert Schema(migrations=ALL, level=level).written == number


OLD, NEW = Schema(migrations=ALL[:3]), Schema(migrations=ALL)


def reached(*steps):
    found = Found(number=0)
    for each in steps:
        found = after(found, each)
    return found


@pytest.mark.parametrize(
    ("found", "program", "refused"),
    [
        (reached(), OLD, ""),
        (reached(*ALL[:2]), OLD, ""),
        (reached(*ALL[:3]), OLD, ""),
        (reached(*ALL[:4]), OLD, ""),
        (reached(*ALL[:5]), OLD, "has schema version 5, this program knows up to 3; version 0.2.0 or later can use it"),
        (reached(*ALL), OLD, "has schema version 6, this program knows up to 3; version 0.2.0 or later can use it"),
        (reached(*ALL), NEW, ""),
        (Found(number=7, usable_from=5), NEW, ""),
        (Found(number=7), NEW, "has schema version 7, this program knows up to 6"),
        (Found(number=4), OLD, "has schema version 4, this program knows up to 3"),
    ],
)
def test_who_may_use_a_database(found, program, refused):
    assert refusal(found, program) == refused


def test_an_addition_to_a_database_that_does_not_say_leaves_it_usable_from_where_it_was():
    assert after(Found(number=3), ADDED) == Found(number=4, usable_from=3)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE notes (a, b);\nCREATE INDEX notes_by_a ON notes (a);\n",
        "-- only more of the same\nALTER TABLE messages ADD COLUMN colour TEXT;\n",
        "INSERT INTO meta (key, value) VALUES ('colour', 1);\n",
        "create unique index once ON messages (id);\n",
    ],
)
def test_additions(text):
    assert migration_of(4, text).level == 0
    assert migration_of(4, f"-- level: 3\n-- since: 0.3.0\n{text}") == Migration(
        number=4, text=f"-- level: 3\n-- since: 0.3.0\n{text}", level=3, since="0.3.0"
    )


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE bodies;\n",
        "ALTER TABLE messages RENAME COLUMN id TO name;\n",
        "CREATE TABLE notes (a);\nUPDATE messages SET client = '';\n",
        "CREATE TRIGGER more AFTER INSERT ON messages BEGIN DELETE FROM bodies; END;\n",
        "INSERT INTO lanes VALUES (1, 'x');\n",
        "DELETE FROM meta;\n",
    ],
)
def test_what_is_more_than_an_addition_has_to_name_its_level(text):
    with pytest.raises(ValueError, match="migration 4 is no addition"):
        migration_of(4, text)
    assert migration_of(4, f"-- level: 2\n{text}").level == 2


@pytest.mark.parametrize("known", [BASE, statements.migrations()], ids=["spool", "copies"])
def test_the_programs_own_migrations_are_numbered_without_a_gap_and_their_levels_never_fall(known):
    assert [each.number for each in known] == list(range(1, len(known) + 1))
    levels = [each.level for each in known if each.level]
    assert levels == sorted(levels)
