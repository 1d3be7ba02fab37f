"""Services one logs in to as a mailbox: client submission, and what High Volume Email has in common with it.

The order of checks at the end of DATA is the store's: account, limits, message, sender (facts m365 §4.4, §4.5).
"""

from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.inhabitants import Mailbox, MailboxState, TenantSpec
from node.rehearsal.simulator.login import tarpit
from node.rehearsal.simulator.services.service import Service
from node.rehearsal.simulator.services.smarthost import same

if TYPE_CHECKING:
    from node.rehearsal.simulator.content import Content
    from node.rehearsal.simulator.delivery import Delivery
    from node.rehearsal.simulator.headers import Headers
    from node.rehearsal.simulator.meters import AccountMeter
    from node.rehearsal.simulator.session import Session

MAX_DELAY_ROUNDS = 10_000  # a surplus message waits at most so many windows' ends
_STATES = {
    MailboxState.FULL: (texts.MAILBOX_FULL, "mailbox_full"),
    MailboxState.RESTRICTED: (texts.RESTRICTED, ""),
    MailboxState.UNGRANTED: (texts.UNGRANTED, ""),
    MailboxState.UNLICENSED: (texts.UNLICENSED, "invalid_licence"),
    MailboxState.SPAM: (texts.OUTBOUND_SPAM, ""),
}


class LoggedIn(Service):
    """A service that wants STARTTLS and a login before MAIL."""

    def mechanisms(self, session: "Session") -> tuple[str, ...]:
        """See Service."""
        return ("LOGIN", "XOAUTH2") if session.wire.tls_version else ()

    async def admit(self, session: "Session") -> str | None:
        """See Service."""
        if not session.wire.tls_version:
            return texts.TLS_REQUIRED
        if session.account:
            return None
        self.hub.violations["mail_without_login"] += 1
        await tarpit(session)
        return texts.NOT_LOGGED_IN


class Submission(LoggedIn):
    """SMTP AUTH client submission (facts m365 §1.1 A)."""

    name: ClassVar[str] = "submission"

    def _found(self, session: "Session") -> tuple[TenantSpec, Mailbox] | None:
        return self.hub.mailbox(session.account) if session.account else None

    def meter(self, session: "Session") -> "AccountMeter | None":
        """See Service."""
        return self.hub.meter(session.account) if session.account else None

    # -- login

    def password(self, session: "Session", user: str, password: str | None) -> str:  # noqa: ARG002
        """See Service."""
        found = self.hub.mailbox(user.lower())
        if found is None:
            return texts.AUTH_CREDENTIALS
        off = _switches(*found)
        if off:
            return off
        if not found[0].basic:
            return texts.AUTH_BASIC_OFF
        return texts.AUTHENTICATED if same(found[1].password, password) else texts.AUTH_CREDENTIALS

    def token(self, session: "Session", account: str, bearer: str | None) -> str:  # noqa: ARG002
        """See Service."""
        found = self.hub.mailbox(account)
        if found is None or bearer is None or not self.hub.token_admits(bearer, account):
            return texts.AUTH_FAILED
        return _switches(*found) or texts.AUTHENTICATED

    # -- envelope

    def sender(self, session: "Session", sender: str) -> str | None:
        """See Service."""
        found = self._found(session)
        if sender and found is not None and not found[1].may_send_as(session.account, sender):
            return texts.MAY_NOT_SEND_AS
        return None

    async def recipient(self, session: "Session", transaction: Transaction, recipient: str) -> str | None:
        """See Service; unknown ones are accepted, as the mailbox store does (facts m365 §1.4)."""
        refusal = await super().recipient(session, transaction, recipient)
        if refusal is not None:
            self.blame(session, "too_many_recipients")
        return refusal

    def most_recipients(self, session: "Session") -> int:
        """See Service."""
        found = self._found(session)
        return found[1].recipient_limit if found is not None else super().most_recipients(session)

    # -- the end

    async def wait(self, session: "Session", transaction: Transaction) -> None:
        """Delay a surplus message where the directory says so."""
        meter, submission = self.meter(session), transaction.submission
        if meter is None or submission is None or self.hub.directory.limits.over_rate != "delay":
            return
        for _ in range(MAX_DELAY_ROUNDS):
            wait_s = meter.wait_s(submission, self.hub.now_s())
            if wait_s <= 0 or session.wire.lost:
                return
            meter.counts["delayed"] += 1
            await session.wire.rest(wait_s)

    def refusal(self, session: "Session", delivery: "Delivery", headers: "Headers") -> str | None:
        """See Service."""
        found = self._found(session)
        if found is None:
            return None
        text = (
            self._account_refusal(session, found[1], delivery)
            or self._limit_refusal(session, delivery)
            or message_refusal(delivery.content, headers)
        )
        if text is not None:
            return session.filled(text)
        denied = next((one for one in headers.froms if not found[1].may_send_as(session.account, one)), None)
        if denied is not None:
            self.blame(session, "send_as")
            return session.filled(texts.SEND_AS_DENIED, login=session.account, sender=denied)
        self._look_for_nobody(session, found[0], delivery.transaction)
        return None

    def external(self, session: "Session", transaction: Transaction) -> int:
        """See Service."""
        found = self._found(session)
        if found is None:
            return 0
        return sum(not found[0].owns(one.rpartition("@")[2]) for one in transaction.recipients)

    def blame(self, session: "Session", kind: str) -> None:
        """Note an error of one class against the mailbox."""
        if (meter := self.meter(session)) is not None:
            meter.blame(kind, self.hub.now_s())

    def _look_for_nobody(self, session: "Session", tenant: TenantSpec, transaction: Transaction) -> None:
        """The message is taken and the report follows; too many of these throttle the mailbox (5.2.255)."""
        for recipient in transaction.recipients:
            if not tenant.exists(recipient):
                self.hub.counts["unknown_recipients"] += 1
                self.blame(session, "invalid_recipients")

    def _account_refusal(self, session: "Session", mailbox: Mailbox, delivery: "Delivery") -> str | None:
        if delivery.content.size_bytes > mailbox.max_send:
            return texts.TOO_LARGE
        meter = self.meter(session)
        kind = meter.throttled(self.hub.now_s()) if meter is not None else None
        if kind is not None:
            return texts.THROTTLED[kind]
        if mailbox.state is MailboxState.OK:
            return None
        text, kind = _STATES[mailbox.state]
        if kind:
            self.blame(session, kind)
        return text

    def _limit_refusal(self, session: "Session", delivery: "Delivery") -> str | None:
        limits, transaction, now_s = self.hub.directory.limits, delivery.transaction, self.hub.now_s()
        meter, submission = self.meter(session), transaction.submission
        if meter is None or submission is None:
            return None
        if limits.over_sessions == "refuse" and meter.surplus(session.number):
            return texts.OVER_SESSIONS
        if limits.over_rate == "refuse" and not submission.gated:
            return texts.OVER_RATE
        if limits.over_recipients == "refuse" and not meter.recipients_fit(now_s, len(transaction.recipients)):
            return texts.OVER_RECIPIENTS
        tenant = self.hub.directory.tenant_of(session.account)
        external = self.external(session, transaction)
        return self.hub.over_external(tenant[0], transaction.sender, external) if tenant else None


def message_refusal(content: "Content", headers: "Headers") -> str | None:
    """Say what is wrong with a message for any of Microsoft's services (facts m365 §4.5)."""
    if content.bare_line_feed:
        return texts.BARE_LINE_FEED
    if not headers.froms:
        return texts.NO_FROM
    if (headers.from_fields > 1 or len(headers.froms) > 1) and not headers.sender:
        return texts.TWO_FROMS
    return None


def _switches(tenant: TenantSpec, mailbox: Mailbox) -> str | None:
    # The mailbox's own switch wins over the tenant's when it is set (facts m365 §3.5), also for OAuth.
    if mailbox.smtp_auth is False:
        return texts.AUTH_MAILBOX_OFF
    if mailbox.smtp_auth is None and not tenant.smtp_auth:
        return texts.AUTH_TENANT_OFF
    return None
