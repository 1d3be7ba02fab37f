"""The node's error tree: every error is temporary or permanent, and unknown means temporary.

Rooms add children in their own ``errors.py``; nobody outside a room catches a foreign library's exception.
"""


class RelayError(Exception):
    """Something went wrong in this relay; temporary unless a child says otherwise."""

    temporary: bool = True


class TemporaryError(RelayError):
    """Trying again later may work: the mail is kept."""


class PermanentError(RelayError):
    """Trying again will not help until a person changes something."""

    temporary = False


class ConfigurationError(PermanentError):
    """The configuration cannot be used; carries every fault found, each with its place."""

    def __init__(self, faults: "list[str]") -> None:
        """Keep the faults and make the message of them, one a line."""
        super().__init__("\n".join(faults))
        self.faults = faults
