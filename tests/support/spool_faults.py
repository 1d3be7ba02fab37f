"""A SQLite connection whose n-th statement fails, for spools that must survive it for every n."""

import sqlite3
from functools import partial

from node.spool.database import Database


class Plan:
    """Counts statements of all connections together and makes one of them fail.

    ``after``: the statement is carried out and the failure reported all the same, as a lost answer would be.
    """

    def __init__(self, fail_at: int, code: int = sqlite3.SQLITE_IOERR, *, after: bool = False) -> None:
        self.fail_at = fail_at
        self.code = code
        self.after = after
        self.count = 0
        self.armed = False
        self.failed = ""

    def due(self, text: str) -> bool:
        if not self.armed or text.lstrip().startswith(("SELECT", "PRAGMA")):
            return False
        self.count += 1
        return self.count == self.fail_at

    def fail(self, text: str) -> None:
        self.failed = text.split("\n", 1)[0]
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = self.code
        error.sqlite_errorname = "INJECTED"
        raise error

    def connect(self, *args, **kwargs) -> Database:
        plan = self

        class Failing(sqlite3.Connection):
            def execute(self, text, *params):
                if not plan.due(text):
                    return super().execute(text, *params)
                if plan.after:
                    super().execute(text, *params)
                return plan.fail(text)

            def executemany(self, text, rows):
                if not plan.due(text):
                    return super().executemany(text, rows)
                if plan.after:
                    super().executemany(text, rows)
                return plan.fail(text)

        return partial(Database, factory=Failing)(*args, **kwargs)
