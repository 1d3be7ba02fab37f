"""Errors of the intake room."""

from node.errors import PermanentError, TemporaryError


class CoreAwayError(TemporaryError):
    """The core process does not answer: nothing can be accepted now."""


class ChannelBrokenError(TemporaryError):
    """The channel between worker and core carried something that is not a frame; that channel is closed."""


class ListenError(PermanentError):
    """A listener's address and port cannot be bound."""
