"""Turns at a scope's connections: taken, handed over, left, and never beside what lingers."""

from coordinator.budget import turns
from coordinator.budget.turns import Me, Rules, Scene, ScopeKeys
from coordinator.store.model import Model

KEYS = ScopeKeys(record="budget/x/slots", slots="slot/x/", waits="wait/x/")
A, B, C = (Me(node=name, inc=number, lease=number, boot="boot") for number, name in enumerate("abc", 1))


class House:
    def __init__(self):
        self.model, self.now_ms = Model(), 100_000
        for _ in "abc":
            self.model.grant(1_000, 0)
        self.scene = Scene(keys=KEYS)

    def look(self):
        known = [KEYS.record, *(f"{KEYS.slots}{k}" for k in (0, 1)), *(f"{KEYS.waits}{n}" for n in "abc")]
        for key in known:
            self.scene.learned(key, self.model.items.get(key), self.now_ms)
        return self

    def rules(self, closed=(), began_ms=0):
        return Rules(sessions=3, linger_ms=360_000, began_ms=began_ms, now_ms=self.now_ms, closed=frozenset(closed))

    def do(self, turn):
        assert turn is not None
        outcome = self.model.txn(turn.compares, turn.writes)
        self.look()
        return outcome.succeeded

    def take(self, me, **about):
        return turns.take(self.scene, me, self.rules(**about), since_ms=0)


def test_two_are_taken_the_third_waits_and_is_handed_the_first_given_up():
    house = House().look()
    assert house.do(house.take(A))
    assert house.do(house.take(B))
    assert house.take(C) is None
    assert house.do(turns.wait(house.scene, C))
    assert turns.wait(house.scene, C) is None
    assert house.do(turns.give(house.scene, A, house.rules(), 0, linger=False))
    assert (house.scene.mine(A), house.scene.mine(C)) == (frozenset(), frozenset({0}))
    assert house.scene.queue() == ()
    assert house.model.items["slot/x/0"].lease == C.lease


def test_of_two_who_want_the_same_one_wins():
    house = House().look()
    first, second = house.take(A), house.take(B)
    assert house.do(first)
    assert not house.do(second)


def test_who_came_later_waits_until_those_before_had_their_time():
    house = House().look()
    for me in (A, B):
        house.do(turns.wait(house.scene, me))
    house.now_ms = 1_000
    assert turns.take(house.scene, A, house.rules(), since_ms=1_000) is not None
    assert turns.take(house.scene, B, house.rules(), since_ms=1_000) is None
    house.now_ms += turns.TURN_MS
    assert turns.take(house.scene, B, house.rules(), since_ms=1_000) is not None


def test_an_unclosed_connection_lingers_beside_the_others():
    house = House().look()
    for me in (A, B):
        house.do(house.take(me))
    house.do(turns.give(house.scene, A, house.rules(), 0, linger=True))
    assert house.do(house.take(C)), "two held and one lingering are three"
    house.do(turns.give(house.scene, B, house.rules(), 1, linger=True))
    assert house.take(A) is None
    house.now_ms += 360_000
    assert house.do(house.take(A))
    assert not [name for name in house.scene.record if name.startswith(turns.LINGER)]


def test_a_vanished_hosts_slots_linger_and_those_of_a_dead_process_only_wait_for_fallbacks_end():
    for closed in ((), (A.owner,)):
        house = House().look()
        for _ in range(2):
            house.do(house.take(A))
        house.model.revoke(A.lease)
        house.look()
        assert house.take(B, closed=closed) is None
        house.now_ms += 3_000
        assert house.do(house.take(B, closed=closed))
        assert (house.take(C, closed=closed) is not None) is bool(closed)


def test_an_owner_is_read_as_it_is_written():
    assert Me.read(A.owner) == Me(node="a", inc=A.inc, lease=0, boot="boot")
    for other in ("", "a", "a/1", "a/1/", "a/x/boot", "a//boot", "a/-1/boot", "a/²/boot", f"a/{'9' * 5_000}/boot"):
        assert Me.read(other) is None


def test_a_record_of_another_form_stops_everything():
    for value in (b"[]", b'{"held/0": 3}', b'{"lanes": "x"}'):
        house = House().look()
        house.do(house.take(A))
        from coordinator.store.contract import Put

        house.model.txn([], [Put(key=KEYS.record, value=value)])
        house.look()
        assert house.scene.fault
        assert house.take(B) is None
        assert turns.give(house.scene, A, house.rules(), 0, linger=False) is None
