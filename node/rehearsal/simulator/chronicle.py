"""Writes what the simulator sees as a history that others may judge: every session and every message of every account.

Off unless told to write. Its clock is the epoch's at the start and goes on monotonically: it never runs backwards.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from node.rehearsal.checking.files import HistoryWriter
from node.rehearsal.checking.records import Any, Begun, Ended, Gone, Limit, Login, Measure

if TYPE_CHECKING:
    from node.rehearsal.simulator.directory import Directory
    from node.rehearsal.simulator.receipts import Receipt

DAY_S: Final = 86_400.0
HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0


class Operation(NamedTuple):
    """One message on its way in; 0 when nothing is written."""

    number: int


class Who(NamedTuple):
    """Who sends: address with port, and the name it gave itself."""

    peer: str = ""
    helo: str = ""


NOBODY: Final = Who()
NOTHING: Final = Operation(0)


class Chronicle:
    """``write`` is None: nothing is written, and nothing costs anything."""

    def __init__(self) -> None:
        """Write nothing yet."""
        self.write: Callable[[Any], None] | None = None
        self._writer: HistoryWriter | None = None
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._number = 0
        self._told: set[str] = set()
        self._sessions: set[tuple[str, int]] = set()

    def open(self, path: Path) -> None:
        """Write to a new file from now on. Raises OSError."""
        self._writer = HistoryWriter(path, "simulator", self.now_ms())
        self.write = self._writer.write

    def close(self) -> None:
        """Write no more."""
        self.write = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def now_ms(self) -> float:
        """Milliseconds since the epoch, to the microsecond."""
        return round(self._offset_ms + time.monotonic() * 1000, 3)

    def login(self, directory: "Directory", scope: str, session: int, peer: str) -> None:
        """A session counts for an account from now on."""
        if self.write is None or not scope:
            return
        self._tell_limits(directory, scope, "")
        self._sessions.add((scope, session))
        self.write(Login(at_ms=self.now_ms(), scope=scope, session=session, peer=peer))

    def gone(self, scope: str, session: int) -> None:
        """It does not any more; may be said twice."""
        if self.write is not None and (scope, session) in self._sessions:
            self._sessions.discard((scope, session))
            self.write(Gone(at_ms=self.now_ms(), scope=scope, session=session))

    def begun(self, directory: "Directory", scope: str, service: str, who: Who, tenant: str = "") -> Operation:
        """MAIL was taken, or a request to send began."""
        if self.write is None:
            return NOTHING
        if not tenant and (found := directory.tenant_of(scope)) is not None:
            tenant = found[0]
        self._tell_limits(directory, scope, tenant)
        self._number += 1
        self.write(
            Begun(
                at_ms=self.now_ms(),
                operation=self._number,
                scope=scope,
                tenant=tenant,
                service=service,
                peer=who.peer,
                helo=who.helo,
            )
        )
        return Operation(self._number)

    def cancelled(self, operation: Operation, *, counted: bool) -> None:
        """It broke off; ``counted``: after content was asked for."""
        if self.write is not None and operation.number:
            self.write(Ended(at_ms=self.now_ms(), operation=operation.number, counted=counted))

    def ended(
        self, operation: Operation, message: str, recipients: Sequence[str], external: int, receipt: "Receipt | None"
    ) -> None:
        """Its answer leaves, or cannot; without a receipt it was refused."""
        if self.write is None or not operation.number:
            return
        self.write(
            Ended(
                at_ms=self.now_ms(),
                operation=operation.number,
                taken=receipt is not None,
                answered=receipt is None or receipt.answered,
                id=message,
                recipients=tuple(recipients),
                external=external,
            )
        )

    def _tell_limits(self, directory: "Directory", scope: str, tenant: str) -> None:
        write = self.write
        if write is None:
            return
        for name, found in ((scope, limits_of(directory, scope)), (f"tenant/{tenant}", tenant_of(directory, tenant))):
            if found and name not in self._told:
                self._told.add(name)
                for measure, amount, window_s in found:
                    write(Limit(at_ms=self.now_ms(), scope=name, measure=measure, amount=amount, window_s=window_s))


Limits = Sequence[tuple[Measure, int, float]]


def limits_of(directory: "Directory", scope: str) -> Limits:
    """Give what a mailbox, an account for High Volume Email or a resource of ACS may do."""
    found = directory.tenant_of(scope)
    limits = directory.limits
    if found is not None and scope in found[1].mailboxes:
        return (
            ("starts", limits.rate.amount, limits.rate.window_s),
            ("sessions", limits.sessions, 0.0),
            ("recipients", limits.recipients.amount, limits.recipients.window_s),
        )
    for tenant in directory.tenants.values():
        for name, resource in tenant.acs.items():
            if scope == f"acs/{name}":
                rates = (resource.rate, resource.hourly)
                return tuple(("starts", rate.amount, rate.window_s) for rate in rates)
    return ()


def tenant_of(directory: "Directory", tenant: str) -> Limits:
    """Give a tenant's limit of external recipients, where it has one."""
    spec = directory.tenants.get(tenant)
    rate = spec.external_limit if spec is not None else None
    return () if rate is None else (("external", rate.amount, rate.window_s),)
