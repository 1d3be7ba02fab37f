import pytest

from node.policy.levels import Facts, Marks, Shut, judge

MARKS = Marks(disk_low_bytes=100, disk_high_bytes=200, memory_shut_bytes=1000, queue_shut=50)


def facts(disk=1000, memory=0, waiting=0):
    return Facts(disk_free_bytes=disk, memory_bytes=memory, waiting=waiting)


@pytest.mark.parametrize(
    ("before", "seen", "after"),
    [
        (Shut.NO, facts(), Shut.NO),
        (Shut.NO, facts(disk=100), Shut.NO),
        (Shut.NO, facts(disk=99), Shut.DISK),
        (Shut.DISK, facts(disk=150), Shut.DISK),
        (Shut.DISK, facts(disk=200), Shut.NO),
        (Shut.NO, facts(memory=1000), Shut.MEMORY),
        (Shut.MEMORY, facts(memory=950), Shut.MEMORY),
        (Shut.MEMORY, facts(memory=899), Shut.NO),
        (Shut.NO, facts(waiting=50), Shut.QUEUE),
        (Shut.QUEUE, facts(waiting=46), Shut.QUEUE),
        (Shut.QUEUE, facts(waiting=44), Shut.NO),
        (Shut.QUEUE, facts(disk=10, waiting=44), Shut.DISK),
        (Shut.DISK, facts(disk=150, memory=2000), Shut.DISK),
    ],
)
def test_marks(before, seen, after):
    assert judge(before, seen, MARKS) is after


def test_without_a_memory_mark_memory_never_shuts():
    marks = Marks(disk_low_bytes=1, disk_high_bytes=2, memory_shut_bytes=0, queue_shut=5)
    assert judge(Shut.NO, facts(memory=1 << 60), marks) is Shut.NO
