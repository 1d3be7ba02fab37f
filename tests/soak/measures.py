"""What is looked at of a process, and how much of it may grow. Reads /proc and directories, decides nothing."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Beyond the noise: so much at once, and so much an hour."""

    at_once: float
    per_hour: float


ALLOWED: Mapping[str, Allowed] = {
    # Pages a heap has touched stay; what a leak of 1 KiB a message would add at 3 messages a second is 10 MiB an hour.
    "rss_bytes": Allowed(at_once=3 * MIB, per_hour=6 * MIB),
    "descriptors": Allowed(at_once=4, per_hour=4),
    "threads": Allowed(at_once=2, per_hour=0),
    "tasks": Allowed(at_once=4, per_hour=4),
}
DISK_PER_MESSAGE_BYTES = 6 << 10
"""A settled message leaves a line of history here and at its shadow, with its indexes; its body is gone."""


def of_process(pid: int, tasks: Path) -> dict[str, float]:
    """Give what a process uses now; empty when it is gone."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        found = {
            "rss_bytes": float(status["VmRSS"].split()[0]) * 1024,
            "descriptors": float(sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())),
            "threads": float(status["Threads"]),
        }
    except (OSError, KeyError):
        return {}
    with suppress(OSError, ValueError):  # not one of ours, or not counted yet
        found["tasks"] = float(tasks.read_text())
    return found


def disk_bytes(place: Path) -> float:
    """Give what lies below a directory, in octets of blocks; what goes meanwhile counts nothing."""
    total = 0
    for root, _, names in os.walk(place):
        for name in names:
            try:
                total += os.lstat(Path(root) / name).st_blocks * 512
            except OSError:
                continue
    return float(total)
