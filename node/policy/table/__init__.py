"""The reply table as data: every row of facts/m365.md §4, one file per section, with its source and examples.

Extend it by a row with the reply's own words and its example; the tests then show what it would shadow.
"""

from typing import Final

from node.policy.table import account, front_end, http, login, message, path, recipient, tenant, transport
from node.policy.table.row import Row

TABLE: Final[tuple[Row, ...]] = (
    *transport.ROWS,
    *front_end.ROWS,
    *login.ROWS,
    *account.ROWS,
    *message.ROWS,
    *recipient.ROWS,
    *path.ROWS,
    *tenant.ROWS,
    *http.ROWS,
)
