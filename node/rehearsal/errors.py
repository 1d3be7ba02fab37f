"""What can go wrong while rehearsing: a conversation that ends early, and input that cannot be used."""

from node.errors import PermanentError, TemporaryError


class ConversationOverError(TemporaryError):
    """The other side is gone, or we hung up on purpose; nothing more can be said."""


class NobodyThereError(ConversationOverError):
    """Nobody answers at this address and port."""


class WaitedTooLongError(TemporaryError):
    """Nothing arrived within the time allowed."""


class LineTooLongError(TemporaryError):
    """A line exceeded its limit; the excess up to its end was thrown away."""


class RehearsalInputError(PermanentError):
    """A directory, script or ledger cannot be used; the message names the place."""
