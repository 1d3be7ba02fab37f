"""High Volume Email: accounts of its own, inside only, at most 50 recipients, tokens with ten minutes left."""

from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.inhabitants import HveAccount, TenantSpec
from node.rehearsal.simulator.services.mailboxes import LoggedIn, message_refusal
from node.rehearsal.simulator.services.smarthost import same

if TYPE_CHECKING:
    from node.rehearsal.simulator.delivery import Delivery
    from node.rehearsal.simulator.headers import Headers
    from node.rehearsal.simulator.meters import AccountMeter
    from node.rehearsal.simulator.session import Session

MAX_RECIPIENTS = 50
TOKEN_LEFT_S = 600


class HveService(LoggedIn):
    """``smtp-hve.office365.com`` (facts m365 §1.1 D, §4.3)."""

    name: ClassVar[str] = "hve"

    def _found(self, account: str) -> tuple[TenantSpec, HveAccount] | None:
        return self.hub.hve(account) if account else None

    def meter(self, session: "Session") -> "AccountMeter | None":
        """See Service."""
        return self.hub.hve_meter(session.account) if session.account else None

    def password(self, session: "Session", user: str, password: str | None) -> str:  # noqa: ARG002
        """See Service."""
        found = self._found(user.lower())
        if found is not None and not found[0].hve_allowed:
            return texts.ORGANIZATION_REFUSES
        return texts.AUTHENTICATED if found and same(found[1].password, password) else texts.AUTH_CREDENTIALS

    def token(self, session: "Session", account: str, bearer: str | None) -> str:  # noqa: ARG002
        """See Service."""
        found = self._found(account)
        if bearer is None:
            return texts.TOKEN_MALFORMED
        if found is None or not self.hub.token_admits(bearer, account, apps=found[1].apps):
            return texts.AUTH_FAILED
        if not found[0].hve_allowed:
            return texts.ORGANIZATION_REFUSES
        if self.hub.token_left_s(bearer) < TOKEN_LEFT_S:
            self.hub.tokens["refused: will expire soon"] += 1
            return texts.TOKEN_ENDS_SOON
        return texts.AUTHENTICATED

    def sender(self, session: "Session", sender: str) -> str | None:
        """See Service."""
        found = self._found(session.account)
        if sender and found is not None and not found[1].may_send_as(session.account, sender):
            return texts.MAY_NOT_SEND_AS
        return None

    async def recipient(self, session: "Session", transaction: Transaction, recipient: str) -> str | None:
        """See Service: nobody outside the tenant."""
        found = self._found(session.account)
        if found is not None and not found[0].owns(recipient.rpartition("@")[2]):
            self.hub.violations["hve_external"] += 1
            return texts.HVE_EXTERNAL
        return await super().recipient(session, transaction, recipient)

    def most_recipients(self, session: "Session") -> int:  # noqa: ARG002
        """See Service."""
        return MAX_RECIPIENTS

    def refusal(self, session: "Session", delivery: "Delivery", headers: "Headers") -> str | None:
        """See Service."""
        found = self._found(session.account)
        text = message_refusal(delivery.content, headers)
        if text is not None:
            return session.filled(text)
        denied = next((one for one in headers.froms if found and not found[1].may_send_as(session.account, one)), None)
        if denied is None:
            return None
        return session.filled(texts.SEND_AS_DENIED, login=session.account, sender=denied)
