"""What a node writes down for itself while the store is silent: what it held, and permits moved between nodes (§5).

``held.json`` exists only from the loss of a session to the next one: a process restarted meanwhile goes on with what
is noted there, all of it counted as just used. ``moved.json`` keeps the running totals of permits moved without the
store; they only grow, so either side may write them into the store's records, once. Both are on disk before they count.
"""

from pathlib import Path

import msgspec

from coordinator.errors import CoordinatorError
from node.durable import sync_directory, write_durably


class NotesUnreadable(CoordinatorError):  # noqa: N818 - a state of affairs
    """A note cannot be read or written: nothing is held and nothing is moved without the store."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a node held when its session ended."""

    inc: int
    lease: int
    boot: str
    shares: dict[str, int] = {}
    """By key: permits."""
    slots: dict[str, tuple[int, ...]] = {}
    """By account: indexes."""
    lots: dict[str, tuple[int, int]] = {}
    """By key: the quarter units stand in, and how many may be used later than it."""


class Notes:
    """The two files; every write is synced before it returns."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is the spool's ``kept``."""
        self._held, self._moved = directory / "held.json", directory / "moved.json"

    def held(self) -> Held | None:
        """What was noted at the loss of a session nobody has followed; None without such a note, or an unreadable one.

        Unreadable is as good as nothing held: less is used, never more.
        """
        try:
            return msgspec.json.decode(self._held.read_bytes(), type=Held)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def hold(self, held: Held) -> None:
        """Note what is held; raises NotesUnreadable if the disk refuses."""
        self._write(self._held, msgspec.json.encode(held))

    def forget(self) -> None:
        """A session follows: what is held stands in the store again."""
        try:
            if self._held.exists():
                self._held.unlink()
                sync_directory(self._held.parent)
        except OSError as error:
            raise NotesUnreadable(f"{self._held}: {error}") from None

    def moved(self) -> dict[str, dict[str, int]]:
        """Running totals by key and ``giver/taker``; raises NotesUnreadable for a file that is no such table."""
        try:
            return msgspec.json.decode(self._moved.read_bytes(), type=dict[str, dict[str, int]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotesUnreadable(f"{self._moved}: {error}") from None

    def move(self, totals: dict[str, dict[str, int]]) -> None:
        """Note all totals; raises NotesUnreadable if the disk refuses."""
        self._write(self._moved, msgspec.json.encode(totals))

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_durably(path, data)
        except OSError as error:
            raise NotesUnreadable(f"{path}: {error}") from None
