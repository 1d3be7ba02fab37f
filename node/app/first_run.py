"""The token of a first start: while nobody is configured to sign in, one lies in a file only this user can read."""

import logging
import os
from pathlib import Path
from typing import Final

from node.admin.once import Once
from node.delivery.clock import wall_ms
from node.settings.model import Settings

FILE: Final = "first-token"
_log = logging.getLogger(__name__)


class FirstRun:
    """One node's; ``look`` is a chore."""

    def __init__(self, once: Once, settings: Settings) -> None:
        """Nothing is made before ``begin``."""
        self._once, self._path, self._token = once, settings.runtime / FILE, ""
        once.on_used = self.end

    def begin(self, settings: Settings, port: int) -> None:
        """Make one if nobody could sign in otherwise; the log says where it lies, never what it is."""
        self._path.unlink(missing_ok=True)
        if not needed(settings):
            return
        made = self._once.make(wall_ms())
        try:
            write_new(self._path, made.token)
        except OSError as error:
            _log.warning("no token for the first sign-in: %s: %s", self._path, error.strerror)
            return
        self._token = made.token
        _log.warning(
            "nobody is configured to sign in: a token for one sign-in at /console/ on port %d lies in %s for an hour; "
            "relayctl token once makes another",
            port,
            self._path,
        )

    def look(self) -> None:
        """Take the file away once its token is of no use."""
        if self._token and not self._once.good(self._token, wall_ms()):
            self.end()

    def changed(self, settings: Settings) -> None:
        """Somebody is configured now: no token of one use is good any more."""
        if not needed(settings):
            self._once.withdraw()

    def end(self) -> None:
        """Take the file away."""
        self._token = ""
        self._path.unlink(missing_ok=True)


def needed(settings: Settings) -> bool:
    """Whether nobody could sign in otherwise."""
    return not settings.admin.tokens and settings.admin.oidc is None


def write_new(path: Path, token: str) -> None:
    """Write a file that did not exist, readable for this user only. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{token}\n")
