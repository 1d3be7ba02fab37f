"""What can go wrong with mail at rest: for now, for good, or because the caller named something that is not there."""

from node.errors import PermanentError, TemporaryError


class SpoolFull(TemporaryError):  # noqa: N818 - the room's names say what is the matter
    """No space left, on disk or of what the spool may use; nothing was written."""


class SpoolBroken(TemporaryError):  # noqa: N818
    """The disk or the database failed; nothing that was asked for is promised."""


class SpoolClosed(TemporaryError):  # noqa: N818
    """The spool is not open (any more); nothing was written."""


class SpoolUnusable(PermanentError):  # noqa: N818
    """The directory cannot be a spool for this version here: a person must act."""


class SpoolTooNew(SpoolUnusable):
    """A newer version of this program wrote it, in a form this one must not touch."""


class MessageGone(PermanentError):  # noqa: N818
    """No such message, or its body is no longer kept."""


class AttemptUnknown(PermanentError):  # noqa: N818
    """No such attempt was claimed, or its record is older than 25 h."""


class WrongRequest(PermanentError):  # noqa: N818
    """The caller asked for something the contract excludes; nothing was changed."""
