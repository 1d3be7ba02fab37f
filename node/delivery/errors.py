"""What can go wrong at the back door, in our own words; foreign errors are mapped to these where they arise."""

from node.errors import PermanentError, TemporaryError
from node.policy.reply import Reply, Stage


class DeliveryError(TemporaryError):
    """Anything of this room; temporary, as mail is kept until a verdict says otherwise."""


class WireBroken(DeliveryError):  # noqa: N818 - says what happened
    """The conversation cannot go on: closed, timed out, or an answer that is no SMTP reply.

    ``word`` is one of ``closed``, ``timeout``, ``protocol``, ``tls``, ``certificate``; ``detail`` is for people.
    """

    def __init__(self, word: str, detail: str = "") -> None:
        """Keep the word apart from the text, which may change between library versions."""
        super().__init__(f"{word}: {detail}" if detail else word)
        self.word = word
        self.detail = detail


class Refused(DeliveryError):  # noqa: N818 - says what happened
    """A connection could not be opened and logged in: at which stage, and what was said (code 0: nothing)."""

    def __init__(self, stage: Stage, reply: Reply) -> None:
        """Keep what the classifier wants to see."""
        super().__init__(f"{stage.value}: {reply}")
        self.stage = stage
        self.reply = reply


class Fenced(DeliveryError):  # noqa: N818 - says what happened
    """The node may not send any more: nothing was sent (I3)."""


class NotAgreed(DeliveryError):  # noqa: N818 - says what happened
    """The other machine does not know of an attempt it must know of before the final dot (operations A2)."""


class NameUnknown(DeliveryError):  # noqa: N818 - says what happened
    """The resolver answered that the name does not exist (NXDOMAIN) or has no address."""


class ElsewhereError(DeliveryError):
    """The MX of a tenant's domain is none of Microsoft's hosts, so it does not say where the connector is."""

    def __init__(self, domain: str, hosts: tuple[str, ...]) -> None:
        """Keep what is shown."""
        super().__init__(f"{domain}: {', '.join(hosts)}")


class UnsafeCommand(PermanentError):  # noqa: N818 - says what happened
    """An argument holds a control character; sending it would let its author speak SMTP in our name."""
