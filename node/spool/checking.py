"""How long a check of the database may take."""

import time


class CheckCut(Exception):  # noqa: N818 - not an error: the check was only not finished
    """The check ran out of its time; nothing was found so far."""


class CheckClock:
    """Says when a check has taken long enough: SQLite calls it between steps."""

    def __init__(self, seconds: float) -> None:
        """Count from now."""
        self._end_s = time.monotonic() + seconds

    def __call__(self) -> int:
        """Non-zero stops the check."""
        return int(time.monotonic() >= self._end_s)
