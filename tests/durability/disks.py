"""A node's disk: an ext4 file system of its own on a loop device, which may be wiped, filled, put back, or lose power.

Images lie in memory, so that the machine's own disk does not decide. A power cut stops the file system as it is
(``EXT4_IOC_SHUTDOWN`` without a flush): what was not synced, nor written back, is gone; ext4 replays its journal at the
next mount. Nothing may use the disk when it is unmounted.
"""

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.failover.lan import sh

SIZE: Final = "200M"
MEMORY: Final = Path("/dev/shm")
LEAST_FREE: Final = 4 << 20
"""Left alone by ``clear``; below it the disk counts as full."""
EXT4_IOC_SHUTDOWN: Final = 0x8004587D
NO_FLUSH: Final = struct.pack("I", 2)
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
UNMOUNT_S: Final = 10.0
_NAME = re.compile(r"durability-(\d+)$")


def usable() -> bool:
    """Say whether this machine lets us mount images: root, mkfs and a loop device."""
    return os.geteuid() == 0 and shutil.which("mkfs.ext4") is not None and Path("/dev/loop-control").exists()


def home() -> Path:
    """Give this process's directory of images, made; those of processes that are gone are removed."""
    for left in MEMORY.glob("durability-*"):
        found = _NAME.search(left.name)
        if found and not Path("/proc", found[1]).exists():
            for mount in left.glob("*/mount"):
                subprocess.run(["umount", "--lazy", str(mount)], capture_output=True, check=False)
            shutil.rmtree(left, ignore_errors=True)
    own = MEMORY / f"durability-{os.getpid()}"
    own.mkdir(exist_ok=True)
    return own


class Disk:
    """``with Disk(directory) as disk``: ``disk.mount`` is where it is."""

    def __init__(self, directory: Path):
        self.directory, self.mount = directory, directory / "mount"
        self.mount.mkdir(parents=True, exist_ok=True)
        self._numbers = itertools.count()
        self._image = Path()

    def __enter__(self):
        self._new()
        return self

    def __exit__(self, *exc: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.mount)], capture_output=True, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def wipe(self) -> None:
        """Put a new, empty disk in place of it."""
        self._unmount()
        self._new()

    def lose_power(self) -> None:
        """Lose at once what is not on the disk yet. Whoever has files open there gets errors from now on."""
        with self._held() as handle:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, NO_FLUSH)

    def come_back(self) -> None:
        """Mount what a power cut left."""
        left = self._copied()
        self._unmount()
        self._use(left)

    def snapshot(self) -> Path:
        """Take a copy as a hypervisor does: of one moment."""
        with self._held() as handle:
            fcntl.ioctl(handle, FIFREEZE, 0)
            try:
                return self._copied()
            finally:
                fcntl.ioctl(handle, FITHAW, 0)

    def put_back(self, copy: Path) -> None:
        """Be what it was when the copy was taken."""
        self._unmount()
        self._use(copy)

    def fill(self) -> None:
        """Leave no room at all, also for root."""
        with (self.mount / "filler").open("wb") as file:
            step = 8 << 20
            at = 0
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), at, step)
                    at += step
                except OSError:
                    step //= 2

    def clear(self) -> None:
        """Give the room back."""
        (self.mount / "filler").unlink(missing_ok=True)

    def _new(self) -> None:
        image = self._named()
        sh("truncate", "-s", SIZE, str(image))
        sh("mkfs.ext4", "-q", "-F", str(image))
        self._use(image)

    def _named(self) -> Path:
        return self.directory / f"image-{next(self._numbers)}"

    def _copied(self) -> Path:
        copy = self._named()
        sh("cp", "--sparse=always", str(self._image), str(copy))
        return copy

    def _use(self, image: Path) -> None:
        sh("mount", "-o", "loop", str(image), str(self.mount))
        if self._image != image:
            self._image.unlink(missing_ok=True) if self._image.name else None
        self._image = image

    def _unmount(self) -> None:
        end = time.monotonic() + UNMOUNT_S
        command = ["umount", str(self.mount)]
        while (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
            assert time.monotonic() < end, f"{self.mount} cannot be unmounted: {done.stderr.strip()}"
            time.sleep(0.02)

    @contextlib.contextmanager
    def _held(self):
        handle = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield handle
        finally:
            os.close(handle)
