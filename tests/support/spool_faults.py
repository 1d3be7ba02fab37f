"""A SQLite connection whose n-th statement fails, and a journal whose n-th write does: a spool must survive every n."""

import os
import sqlite3
from functools import partial
from pathlib import Path

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


class Disk:
    """Stands in for the module ``os`` in the journal's files and lets the n-th call of one function fail.

    ``lasting``: so does every later one. ``after``: the call is carried out and the failure reported all the same.
    ``short``: a write takes half of what it is given before the next one fails.
    """

    def __init__(
        self, name: str, fail_at: int, code: int, *, lasting: bool = False, after: bool = False, short: bool = False
    ) -> None:
        self.name = name
        self.fail_at = fail_at
        self.code = code
        self.lasting = lasting
        self.after = after
        self.short = short
        self.count = 0
        self.armed = False
        self.failed = 0
        self.written: list[tuple[str, int]] = []
        """File and how many failures there had been, for every write."""

    def __getattr__(self, name: str):
        real = getattr(os, name)
        if name == "pwrite":
            real = self._noting(real)
        return self._counted(name, real) if name == self.name else real

    def _noting(self, real):
        def write(handle, data, at):
            self.written.append((Path(f"/proc/self/fd/{handle}").readlink().name, self.failed))
            return real(handle, data, at)

        return write

    def _counted(self, name: str, real):
        def call(*args, **kwargs):
            if not self.armed:
                return real(*args, **kwargs)
            self.count += 1
            if self.short and self.count == self.fail_at:
                self.fail_at, self.short = self.fail_at + 1, False
                handle, data, at = args
                return real(handle, data[: len(data) // 8192 * 4096], at)
            if self.count == self.fail_at or (self.lasting and self.count > self.fail_at):
                if self.after:
                    result = real(*args, **kwargs)
                    if name == "open":
                        os.close(result)
                self.failed += 1
                raise OSError(self.code, "injected")
            return real(*args, **kwargs)

        return call
