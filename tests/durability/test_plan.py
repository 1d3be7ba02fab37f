"""What is drawn: the same for the same seed, every fault among it, never two disks lost at once."""

from collections import Counter

from tests.durability.plan import LOSES_DISK, Act, Fault, drawn

NODES = ("relay-a", "relay-b", "relay-c")
MANY = [drawn(number, 7, NODES) for number in range(1000)]


def test_the_same_seed_gives_the_same_rounds():
    assert [drawn(number, 7, NODES) for number in range(50)] == MANY[:50]
    assert [drawn(number, 8, NODES) for number in range(50)] != MANY[:50]


def test_every_fault_comes_and_sometimes_two():
    kinds = Counter(fault for each in MANY for fault, _ in each.faults)
    assert all(kinds[fault] >= 20 for fault in Fault)
    assert 100 < sum(len(each.faults) == 2 for each in MANY) < 300


def test_never_two_disks_are_lost_at_once():
    for each in MANY:
        assert sum(fault in LOSES_DISK for fault, _ in each.faults) <= 1
        assert len({node for _, node in each.faults}) == len(each.faults)
        assert Fault.OLD_DISK not in [fault for fault, _ in each.faults] or len(each.faults) == 1


def test_every_fault_is_undone():
    undone = {
        Act.DESTROY: Act.BOOT, Act.POWER: Act.BOOT, Act.KILL: Act.BOOT, Act.FREEZE: Act.THAW, Act.CUT: Act.MEND,
        Act.FILL: Act.CLEAR, Act.STOP: Act.BOOT, Act.SNAPSHOT: Act.PUT_BACK, Act.PUT_BACK: Act.WIPE, Act.WIPE: Act.BOOT,
    }  # fmt: skip
    for each in MANY:
        assert list(each.steps) == sorted(each.steps, key=lambda step: step.at_s)
        for at, step in enumerate(each.steps):
            later = [one.act for one in each.steps[at + 1 :] if one.node == step.node and one.what == step.what]
            assert step.act not in undone or undone[step.act] in later
