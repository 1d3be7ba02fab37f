"""The reply table as data: every row of facts/m365.md §4, one file per section, with its source and examples."""

from typing import Final

from node.policy.table import transport
from node.policy.table.row import Row

TABLE: Final[tuple[Row, ...]] = (*transport.ROWS,)
