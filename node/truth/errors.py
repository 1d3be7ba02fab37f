"""What can go wrong with mailboxes and the room's own store."""

from node.errors import PermanentError, TemporaryError


class NotNow(TemporaryError):  # noqa: N818 - a state of affairs
    """A report cannot be judged at this moment; it must come again."""


class MailboxUnavailable(TemporaryError):  # noqa: N818 - a state of affairs
    """No answer now; ask again after ``retry_after_s`` (0: nothing was said)."""

    def __init__(self, text: str, *, retry_after_s: float = 0.0) -> None:
        """Keep what the other side asked for."""
        super().__init__(text)
        self.retry_after_s = retry_after_s


class MailboxRefused(PermanentError):  # noqa: N818 - as above
    """The app may not read this mailbox, or there is none: a person must act. Looked at again rarely."""


class NotThere(MailboxRefused):
    """Graph: 404. The mailbox, its folder or the message."""


class CursorExpired(PermanentError):  # noqa: N818 - as above
    """The place in the mailbox is no longer known there: begin anew (Graph: 410)."""
