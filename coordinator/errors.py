"""The coordinator's error tree: what a caller may do about each is in its docstring."""


class CoordinatorError(Exception):
    """Something went wrong in coordination; temporary unless a child says otherwise."""

    temporary: bool = True


class StaleRevision(CoordinatorError):  # noqa: N818 - it names a state of affairs, like StopIteration
    """The record changed since it was read: read it again and decide anew, never repeat the write blindly."""


class NotAMember(CoordinatorError):  # noqa: N818 - as above
    """The writer's session has ended: it may change nothing until it begins another."""

    temporary = False


class NotAdmitted(CoordinatorError):  # noqa: N818 - as above
    """The cluster does not let this process begin a session now; the text says why."""


class UnfitVersion(NotAdmitted):
    """The level in force is none this version of the program knows: another version must be started."""

    temporary = False
