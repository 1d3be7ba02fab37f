"""What is wrong with a configuration, every fault of it at once."""

from coordinator.errors import CoordinatorError


class BadSettings(CoordinatorError):  # noqa: N818 - a state of affairs
    """The configuration cannot be used; carries every fault found, each with its place. A daemon exits with 2."""

    temporary = False

    def __init__(self, faults: "list[str]") -> None:
        """Keep the faults and make the message of them, one a line."""
        super().__init__("\n".join(faults))
        self.faults = faults
