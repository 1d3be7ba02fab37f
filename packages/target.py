"""What is built: which version, for which Python and machine, dated when."""

import os
import platform
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
"""The source tree."""
_GLIBC: Final = (34, 31, 28, 27, 26, 24, 17)
"""Minor versions of glibc 2 wheels may be made for; 2.34 is RHEL 9's, older than Debian 12's."""
_DEBIAN: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class BuildError(Exception):
    """A package cannot be built; the text says why."""


@dataclass(frozen=True)
class Target:
    """One build. *epoch*: seconds since 1970 that every file and archive is dated with (SOURCE_DATE_EPOCH)."""

    version: str
    epoch: int
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine: str = platform.machine()

    def __post_init__(self) -> None:
        """Refuse what no wheel could be named for."""
        if self.machine not in _DEBIAN:
            raise BuildError(f"machine {self.machine!r}: expected one of {', '.join(_DEBIAN)}")

    @property
    def debian_machine(self) -> str:
        """The machine as Debian names it."""
        return _DEBIAN[self.machine]

    @property
    def package_version(self) -> str:
        """The version as package managers sort it: a release candidate comes before its release."""
        return re.sub(r"(a|b|rc|\.dev)(\d+)$", r"~\1\2", self.version).replace("~.", "~")

    @property
    def platforms(self) -> list[str]:
        """Tags of wheels that run there, newest glibc first."""
        legacy = ["manylinux2014", "manylinux1"]
        return [f"{one}_{self.machine}" for one in [*(f"manylinux_2_{minor}" for minor in _GLIBC), *legacy]]

    @property
    def environment(self) -> dict[str, str]:
        """What programs that build are to see: the date, and hashes that are the same every time."""
        return {**os.environ, "SOURCE_DATE_EPOCH": str(self.epoch), "PYTHONHASHSEED": "0", "TZ": "UTC"}


def target(machine: str = "") -> Target:
    """Give what this tree and this Python make. Raises BuildError where the date is not known."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return Target(version=project["version"], epoch=_epoch(), machine=machine or platform.machine())


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH") or _committed()
    if not given.isdecimal():
        raise BuildError(
            f"SOURCE_DATE_EPOCH: expected seconds since 1970, not {given!r}; needed outside a git checkout"
        )
    return int(given)


def _committed() -> str:
    """Say when the newest commit was made; empty outside a checkout."""
    try:
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
