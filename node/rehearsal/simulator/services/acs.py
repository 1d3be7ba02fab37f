"""Azure Communication Services by SMTP: a resource with its senders, rates and 50 recipients, outside any tenant."""

from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.counting import ResourceMeter
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.inhabitants import AcsResource, TenantSpec
from node.rehearsal.simulator.services.mailboxes import LoggedIn, message_refusal

if TYPE_CHECKING:
    from node.rehearsal.simulator.delivery import Delivery
    from node.rehearsal.simulator.headers import Headers
    from node.rehearsal.simulator.session import Session

MAX_RECIPIENTS = 50
MAX_BYTES = 10_000_000


class AcsService(LoggedIn):
    """``smtp.azurecomm.net`` (facts m365 §1.1 E, §1.2 E)."""

    name: ClassVar[str] = "acs"
    banner: ClassVar[str] = "smtp.azurecomm.net"

    def _found(self, account: str) -> tuple[str, TenantSpec, AcsResource] | None:
        """Find the resource a user name means: ``resource|app|tenant``, or a name of its own."""
        return self.hub.acs(account) if account else None

    def mechanisms(self, session: "Session") -> tuple[str, ...]:
        """See Service."""
        return ("LOGIN",) if session.wire.tls_version else ()

    def password(self, session: "Session", user: str, password: str | None) -> str:  # noqa: ARG002
        """See Service: the application's client secret; one that was revoked or ran out works no more."""
        found = self._found(user)
        if found is None:
            return texts.AUTH_FAILED
        app = found[1].apps.get(self.hub.acs_app(user))
        return texts.AUTHENTICATED if app is not None and password in app.secrets else texts.AUTH_FAILED

    def sender(self, session: "Session", sender: str) -> str | None:
        """See Service."""
        found = self._found(session.account)
        if found is not None and not found[2].sends_as(sender):
            self.hub.violations["acs_sender"] += 1
            return texts.MAY_NOT_SEND_AS
        return None

    def scope(self, session: "Session") -> str:
        """See Service."""
        found = self._found(session.account)
        return f"acs/{found[0]}" if found is not None else session.account

    def open(self, session: "Session", sender: str, *, smtputf8: bool) -> Transaction:
        """See Service."""
        meter = self.hub.acs_meter(session.account)
        return Transaction(sender=sender, smtputf8=smtputf8, meter=meter, submission=meter.begin(self.hub.now_s()))

    def most_recipients(self, session: "Session") -> int:  # noqa: ARG002
        """See Service."""
        return MAX_RECIPIENTS

    def size(self, session: "Session") -> int:  # noqa: ARG002
        """See Service."""
        return MAX_BYTES

    def refusal(self, session: "Session", delivery: "Delivery", headers: "Headers") -> str | None:
        """See Service."""
        found, submission = self._found(session.account), delivery.transaction.submission
        text = message_refusal(delivery.content, headers)
        if text is not None:
            return session.filled(text)
        if found is not None and not all(found[2].sends_as(one) for one in headers.froms):
            self.hub.violations["acs_sender"] += 1
            return session.filled(texts.MAY_NOT_SEND_AS)
        if found is not None and found[2].over_rate == "refuse" and not ResourceMeter.fits(submission):
            self.hub.acs_meter(session.account).refused += 1
            return session.filled(texts.ACS_OVER_RATE)
        return None
