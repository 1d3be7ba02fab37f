"""The transactions on pairings against the model of the store: what each compares, and what it changes."""

from dataclasses import dataclass

import pytest

from coordinator.keys import Keys, Role, encode
from coordinator.ownership import writes
from coordinator.ownership.records import Pairing, PairKey, UnreadableRecord, read_pairing, write
from coordinator.ownership.seats import Seat
from coordinator.ownership.views import Me, View, learned
from coordinator.store.contract import Delete, Put
from coordinator.store.model import Model

KEYS = Keys(cluster="c")
KEY = PairKey(spool="S", shadow="b")
PATH = KEYS.ownership("S", "b")
A, B = Me(node="a", spool="S"), Me(node="b", spool="T")


@dataclass
class Cluster:
    model: Model

    def join(self, node, spool):
        key = KEYS.member(Role.NODE, node)
        self.model.txn([], [Put(key=key, value=encode({"spool": spool}))])
        return Seat(node=node, inc=self.model.items[key].create_revision, spool=spool)

    def leave(self, node):
        self.model.txn([], [Delete(key=KEYS.member(Role.NODE, node))])

    def view(self, me):
        return learned(View(key=KEY), self.model.items.get(PATH), me, inc=1)

    def put(self, **about):
        self.model.txn([], [Put(key=PATH, value=write(Pairing(**{"owner": "a", "epoch": 5, "copy": "T"} | about)))])

    def do(self, transaction):
        return self.model.txn(*transaction).succeeded

    def now(self):
        return read_pairing(self.model.items[PATH].value)


@pytest.fixture
def cluster():
    return Cluster(Model())


def test_a_first_pairing_needs_the_key_absent_and_the_shadow_there(cluster):
    shadow = cluster.join("b", "T")
    pairing = writes.to_pair(KEYS, cluster.view(A), A, shadow, revision=cluster.model.revision)
    assert cluster.do(pairing)
    assert cluster.now() == Pairing(owner="a", epoch=2, copy="T")
    assert not cluster.do(pairing), "sent twice, it happens once"


def test_a_pairing_fails_when_the_shadow_began_anew(cluster):
    shadow = cluster.join("b", "T")
    pairing = writes.to_pair(KEYS, cluster.view(A), A, shadow, revision=2)
    cluster.leave("b")
    cluster.join("b", "another disk")
    assert not cluster.do(pairing)


def test_no_epoch_is_used_twice(cluster):
    shadow = cluster.join("b", "T")
    epochs = []
    for _ in range(5):
        revision = cluster.model.revision
        assert cluster.do(writes.to_pair(KEYS, cluster.view(A), A, shadow, revision=revision))
        epochs.append(cluster.now().epoch)
    assert epochs == sorted(set(epochs))
    cluster.put(epoch=900)
    assert cluster.do(writes.to_pair(KEYS, cluster.view(A), A, shadow, revision=7))
    assert cluster.now().epoch == 901


def test_a_claim_changes_nothing_but_the_revision(cluster):
    cluster.put(void=True)
    before = cluster.model.items[PATH]
    assert cluster.do(writes.to_claim(KEYS, cluster.view(A)))
    after = cluster.model.items[PATH]
    assert after.value == before.value
    assert after.mod_revision > before.mod_revision


def test_adoption_keeps_epoch_and_copy(cluster):
    cluster.put()
    assert cluster.do(writes.to_adopt(KEYS, cluster.view(B), B, None))
    assert cluster.now() == Pairing(owner="b", epoch=5, copy="T")


def test_adoption_fails_when_the_owner_is_back(cluster):
    cluster.put()
    adoption = writes.to_adopt(KEYS, cluster.view(B), B, None)
    cluster.join("a", "S")
    assert not cluster.do(adoption)


def test_adoption_fails_when_the_pairing_was_written_since(cluster):
    """The owner came back, wrote it anew and is gone again: its seat is as it was read, the pairing is not."""
    cluster.put()
    adoption = writes.to_adopt(KEYS, cluster.view(B), B, None)
    cluster.put()
    assert not cluster.do(adoption)


def test_adoption_beside_another_disk_of_the_owner_needs_that_one_there_still(cluster):
    cluster.put()
    seat = cluster.join("a", "another disk")
    adoption = writes.to_adopt(KEYS, cluster.view(B), B, seat)
    cluster.leave("a")
    cluster.join("a", "S")
    assert not cluster.do(adoption)
    assert cluster.now().owner == "a"


def test_the_spools_end_takes_back_what_the_shadow_owned(cluster):
    cluster.put(owner="b")
    assert cluster.do(writes.to_adopt(KEYS, cluster.view(A), A, None))
    assert cluster.now().owner == "a"


def test_a_void_pairing_keeps_its_epoch_and_owner(cluster):
    cluster.put()
    assert cluster.do(writes.to_void(KEYS, cluster.view(A)))
    assert cluster.now() == Pairing(owner="a", epoch=5, copy="T", void=True)


def test_giving_needs_the_heir_there(cluster):
    cluster.put()
    heir = cluster.join("b", "T")
    giving = writes.to_give(KEYS, cluster.view(A), heir)
    cluster.leave("b")
    assert not cluster.do(giving)
    heir = cluster.join("b", "T")
    assert cluster.do(writes.to_give(KEYS, cluster.view(A), heir))
    assert cluster.now().owner == "b"


@pytest.mark.parametrize("make", [writes.to_claim, writes.to_void])
def test_nothing_is_made_of_what_is_not_understood(cluster, make):
    cluster.model.txn([], [Put(key=PATH, value=b'{"form":9}')])
    with pytest.raises(UnreadableRecord, match="newer version"):
        make(KEYS, cluster.view(A))
    with pytest.raises(UnreadableRecord):
        make(KEYS, View(key=KEY))
