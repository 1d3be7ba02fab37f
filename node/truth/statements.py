"""The room's named queries, run on the spool's kind of connection; the SQL stands in ``queries.sql``."""

from node.spool import queries
from node.spool.database import Database, Params, Row
from node.spool.rows import Cell
from node.spool.schema import Migration


def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    return queries.migrations(__package__)


def run(database: Database, name: str, params: Params = ()) -> list[Row]:
    """Run a query; its rows. Raises SpoolBroken, SpoolFull."""
    return database.run_text(queries.named(__package__)[name], params)


def cell(database: Database, name: str, params: Params = ()) -> Cell:
    """Run a query for one value; None if there is no row."""
    rows = run(database, name, params)
    return rows[0][0] if rows else None
