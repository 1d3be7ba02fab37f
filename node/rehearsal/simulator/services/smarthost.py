"""A plain smart host: PLAIN and LOGIN against a list of users, no tenants, no limits."""

import hmac
from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.login import tarpit
from node.rehearsal.simulator.services.service import Service

if TYPE_CHECKING:
    from node.rehearsal.simulator.directory import SmartHost
    from node.rehearsal.simulator.session import Session


def same(expected: str | None, given: str | None) -> bool:
    """Compare passwords; what is not there equals nothing."""
    if expected is None or given is None:
        return False
    return hmac.compare_digest(expected.encode(), given.encode())


class SmartHostService(Service):
    """As the directory's ``smarthost`` says."""

    name: ClassVar[str] = "smarthost"

    @property
    def _host(self) -> "SmartHost":
        found = self.hub.directory.smarthost
        assert found is not None  # noqa: S101 - the service is only chosen where there is one
        return found

    def mechanisms(self, session: "Session") -> tuple[str, ...]:
        """See Service."""
        protected = self._host.tls != "required" or session.wire.tls_version
        return ("PLAIN", "LOGIN") if self._host.users and protected else ()

    def password(self, session: "Session", user: str, password: str | None) -> str:  # noqa: ARG002
        """See Service."""
        return texts.AUTHENTICATED if same(self._host.users.get(user), password) else texts.AUTH_FAILED

    async def admit(self, session: "Session") -> str | None:
        """See Service."""
        if self._host.tls == "required" and not session.wire.tls_version:
            return texts.TLS_REQUIRED
        if not self._host.users or session.account:
            return None
        self.hub.violations["mail_without_login"] += 1
        await tarpit(session)
        return texts.NOT_LOGGED_IN
