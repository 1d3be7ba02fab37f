"""What one port stands for, as the conversation asks it: login, senders, recipients, verdicts, meters.

The base is a server that takes everything from everybody; each service says what it does otherwise.
"""

from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.envelope import Transaction

if TYPE_CHECKING:
    from node.rehearsal.simulator.delivery import Delivery
    from node.rehearsal.simulator.headers import Headers
    from node.rehearsal.simulator.hub import Hub
    from node.rehearsal.simulator.meters import AccountMeter
    from node.rehearsal.simulator.receipts import Receipt
    from node.rehearsal.simulator.session import Session

MAX_RECIPIENTS = 1000  # tenant cap MaxRecipientEnvelopeLimit (facts m365 §2.1)


class Service:
    """One service; shared by all sessions of its port and without state of its own besides the hub's."""

    name: ClassVar[str] = ""
    banner: ClassVar[str] = "{host}.outlook.office365.com"

    def __init__(self, hub: "Hub") -> None:
        """Serve what the hub's directory says at each moment."""
        self.hub = hub

    def connected(self, session: "Session") -> None:
        """Note a client that connected."""

    def gone(self, session: "Session") -> None:
        """Note that it is gone."""

    # -- greeting and login

    def mechanisms(self, session: "Session") -> tuple[str, ...]:  # noqa: ARG002
        """Name what AUTH takes now, in the order EHLO shows it."""
        return ()

    def password(self, session: "Session", user: str, password: str | None) -> str:  # noqa: ARG002
        """Judge a login by password; gives the reply."""
        return texts.AUTH_FAILED

    def token(self, session: "Session", account: str, bearer: str | None) -> str:  # noqa: ARG002
        """Judge a login by token; None: the blob held none. Gives the reply."""
        return texts.AUTH_FAILED

    def meter(self, session: "Session") -> "AccountMeter | None":  # noqa: ARG002
        """Give the meter of who is logged in."""
        return None

    def scope(self, session: "Session") -> str:
        """Name whose limits count, as a history does: the account logged in."""
        return session.account

    # -- the envelope

    async def admit(self, session: "Session") -> str | None:  # noqa: ARG002
        """Say what refuses MAIL before its argument is looked at."""
        return None

    def sender(self, session: "Session", sender: str) -> str | None:  # noqa: ARG002
        """Say what refuses this envelope sender."""
        return None

    def open(self, session: "Session", sender: str, *, smtputf8: bool) -> Transaction:
        """Begin a transaction: from now on the message may be counted."""
        meter = self.meter(session)
        submission = meter.begin(self.hub.now_s()) if meter is not None else None
        return Transaction(sender=sender, smtputf8=smtputf8, meter=meter, submission=submission)

    async def recipient(
        self,
        session: "Session",
        transaction: Transaction,
        recipient: str,  # noqa: ARG002
    ) -> str | None:
        """Say what refuses one more recipient."""
        if len(transaction.recipients) < self.most_recipients(session):
            return None
        self.hub.violations["recipients_per_message"] += 1
        return texts.TOO_MANY_RECIPIENTS

    def most_recipients(self, session: "Session") -> int:  # noqa: ARG002
        """Give the most recipients of one message."""
        return MAX_RECIPIENTS

    # -- the end of the message

    def size(self, session: "Session") -> int:  # noqa: ARG002
        """Give the largest message EHLO announces."""
        return self.hub.directory.limits.size

    async def wait(self, session: "Session", transaction: Transaction) -> None:
        """Let a surplus message wait as the service does."""

    def refusal(self, session: "Session", delivery: "Delivery", headers: "Headers") -> str | None:  # noqa: ARG002
        """Give the filled-in reply that refuses a complete message, its size aside."""
        return None

    def external(self, session: "Session", transaction: Transaction) -> int:  # noqa: ARG002
        """Count the recipients that count against the tenant's external limit."""
        return 0

    def confirm(self, session: "Session", receipt: "Receipt") -> None:
        """Answer a message that was taken."""
        session.say(texts.ACCEPTED, message_id=receipt.message_id or "<none>")
