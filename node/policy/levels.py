"""When the door shuts for lack of disk, memory or queue room, and when it opens again: separate marks, no flutter.

Pure: handed measured facts, gives the reason the door is shut, or none.
"""

from enum import StrEnum

import msgspec


class Shut(StrEnum):
    """Why mail is not accepted now; the words clients' administrators and metrics see."""

    NO = ""
    DISK = "disk"
    MEMORY = "memory"
    QUEUE = "queue"


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Where the door shuts (``low`` room left) and where it opens again (``high``)."""

    disk_low_bytes: int
    disk_high_bytes: int
    memory_shut_bytes: int
    """Resident memory of the process above which the door shuts; it opens below nine tenths of it. 0: no limit."""
    queue_shut: int
    """Waiting recipients at which the door shuts; it opens below nine tenths of it."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    disk_free_bytes: int
    memory_bytes: int
    waiting: int


def judge(before: Shut, facts: Facts, marks: Marks) -> Shut:
    """Decide whether the door is shut; a door already shut for a reason needs the better mark to open."""
    disk = marks.disk_high_bytes if before is Shut.DISK else marks.disk_low_bytes
    if facts.disk_free_bytes < disk:
        return Shut.DISK
    memory = marks.memory_shut_bytes
    if memory and facts.memory_bytes >= (memory * 9 // 10 if before is Shut.MEMORY else memory):
        return Shut.MEMORY
    queue = marks.queue_shut
    if facts.waiting >= (queue * 9 // 10 if before is Shut.QUEUE else queue):
        return Shut.QUEUE
    return Shut.NO
