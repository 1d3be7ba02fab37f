"""Reads ``queries.sql`` and ``pairing.sql``: named queries, fragments, and bulk statements, many rows in one step.

Why bulk: every step of a statement hands the interpreter lock away and must win it back from a busy event loop;
one step for 64 rows costs one such wait instead of 64. It knows nothing of what the queries mean.
"""

import re
from functools import cache
from importlib import resources

from node.spool.schema import Migration, migration_of

_HEADER = re.compile(r"^-- (name|fragment): (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_INCLUDE = re.compile(r":::(\w+)")
_ROWS = re.compile(r"/\*rows\*/\s*(\((?:[^()]|\([^()]*\))*\))")

FILES = ("queries.sql", "pairing.sql")

BULK_ROWS = (64, 16, 4, 1)
"""Sizes a bulk statement is prepared for; few, so that all stay in the statement cache."""


def parse(text: str) -> dict[str, str]:
    """Split a file into its queries; raises ValueError for a name given twice or a fragment that is not there."""
    parts = _HEADER.split(text)[1:]
    found: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if name in found[kind]:
            raise ValueError(f"{kind} {name} is defined twice")
        # Comments go: one after a fragment would swallow what follows the place it is put in.
        found[kind][name] = _COMMENT.sub("", body).strip().rstrip(";")
    return {name: _include(body, found["fragment"]) for name, body in found["name"].items()}


def _include(body: str, fragments: dict[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        if match[1] not in fragments:
            raise ValueError(f"no fragment {match[1]}")
        return _include(fragments[match[1]], fragments)

    return _INCLUDE.sub(put, body)


@cache
def named(package: str) -> dict[str, str]:
    """Every named query of another room, from its ``queries.sql``."""
    return parse(resources.files(package).joinpath("queries.sql").read_text(encoding="utf-8"))


@cache
def queries() -> dict[str, str]:
    """Every named query of the room."""
    folder = resources.files(__package__)
    return parse("".join(folder.joinpath(name).read_text(encoding="utf-8") for name in FILES))


def query(name: str) -> str:
    """One query by name."""
    return queries()[name]


@cache
def bulk(name: str, rows: int) -> str:
    """A bulk statement whose ``/*rows*/ (?, ...)`` is repeated ``rows`` times."""
    text, replaced = _ROWS.subn(lambda match: ", ".join([match[1]] * rows), query(name))
    if replaced != 1:
        raise ValueError(f"query {name} has {replaced} row markers, a bulk statement has one")
    return text


def migrations(package: str = __package__) -> tuple[Migration, ...]:
    """Every migration of a package, in order; raises ValueError for a file that is none."""
    folder = resources.files(package).joinpath("migrations")
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name)
    return tuple(migration_of(int(each.name.partition("_")[0]), each.read_text(encoding="utf-8")) for each in files)
