"""The ground the rounds stand on: disks lose exactly what was not synced, lines are cut silently and one by one."""

import errno
import os
import sys

import pytest

from tests.durability import disks
from tests.durability.disks import Disk
from tests.durability.hosts import Program
from tests.durability.star import Line, Star
from tests.failover.lan import sh
from tests.failover.processes import wait_for

pytestmark = pytest.mark.skipif(not disks.usable(), reason="needs root, mkfs.ext4 and loop devices")

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), timeout=1)
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def disk():
    with Disk(disks.home() / f"test-{os.getpid()}") as made:
        yield made
    assert str(made.mount) not in sh("mount")


def put(path, data: bytes, *, synced: bool) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(disk):
    put(disk.mount / "synced", b"a" * 100_000, synced=True)
    put(disk.mount / "unsynced", b"b" * 100_000, synced=False)
    with (disk.mount / "synced").open("ab") as file:
        file.write(b"more")
        file.flush()
        disk.lose_power()
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(file.fileno())
    disk.come_back()
    assert (disk.mount / "synced").read_bytes() == b"a" * 100_000
    assert not (disk.mount / "unsynced").exists()


def test_an_older_copy_is_of_one_moment_and_can_be_put_back(disk):
    put(disk.mount / "before", b"unsynced, and yet in the copy", synced=False)
    copy = disk.snapshot()
    put(disk.mount / "after", b"", synced=True)
    disk.put_back(copy)
    assert (disk.mount / "before").read_bytes() == b"unsynced, and yet in the copy"
    assert not (disk.mount / "after").exists()


def test_a_full_disk_has_no_room_and_a_wiped_one_nothing_on_it(disk):
    disk.fill()
    with pytest.raises(OSError, match="No space left") as caught:
        put(disk.mount / "more", b"x" * 10_000, synced=True)
    assert caught.value.errno == errno.ENOSPC
    disk.clear()
    put(disk.mount / "more", b"x" * 10_000, synced=True)
    disk.wipe()
    assert [one.name for one in disk.mount.iterdir()] == ["lost+found"]


def test_a_line_is_cut_for_both_and_for_nobody_else(tmp_path):
    with Star({"a": "10.9.0.11", "b": "10.9.0.12", "c": "10.9.0.13"}) as star:

        def knock(here: str, there: str) -> str:
            log = tmp_path / f"{here}{there}"
            log.unlink(missing_ok=True)
            with Program(star.space(here), [sys.executable, "-c", KNOCK, star.addresses[there]], log) as one:
                wait_for("the knock to end", lambda: not one.running, 20)
            return log.read_text().strip()

        assert knock("a", "b") == knock("a", "c") == "refused"
        star.cut(Line("a", "b"), off=True)
        star.cut(Line("b", "a"), off=True)
        assert (knock("a", "b"), knock("b", "a")) == ("TimeoutError", "TimeoutError")
        assert knock("a", "c") == knock("b", "c") == "refused"
        star.cut(Line("a", "b"), off=False)
        assert knock("a", "b") == "TimeoutError"
        star.cut(Line("a", "b"), off=False)
        assert knock("a", "b") == "refused"
