"""What a keeper knows, fed out of order; bringing rows in line counts only for the change before it."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from coordinator.keeping.aligning import Aligning
from coordinator.keeping.jobs import Jobs
from coordinator.keeping.known import Known
from coordinator.keys import Role, encode
from coordinator.ownership.records import Pairing, PairKey, SpoolRecord, write
from coordinator.ownership.views import Me, State, View
from coordinator.session import Phase, Session
from coordinator.store.contract import Change, Item, Seen
from coordinator.timing import FAST
from tests.support.ownership_house import KEYS, Disk
from tests.support.virtual_loop import run_virtual

ME, KEY = Me(node="a", spool="s"), PairKey(spool="s", shadow="b")
LIVE = Session(timing=FAST, phase=Phase.LIVE, lease=1, inc=10, began_ms=0, renewed_ms=0)


class Sessions:
    value = LIVE


@pytest.fixture
def sessions():
    return Sessions()


@pytest.fixture
def known(sessions):
    made = Known(ME, KEYS, session=lambda: sessions.value, now_ms=lambda: 1_000)
    made.follow()
    return made


def item(revision, *, owner="a", epoch=5, void=False):
    value = write(Pairing(owner=owner, epoch=epoch, void=void, copy="t"))
    return Item(key=KEYS.ownership(KEY.spool, KEY.shadow), value=value, create_revision=5, mod_revision=revision)


def record(revision, inc=10):
    value = write(SpoolRecord(sequence=3, node="a", inc=inc))
    return Item(key=KEYS.spool("s"), value=value, create_revision=revision, mod_revision=revision)


def whole(revision, *items):
    changes = tuple(Change(key=each.key, item=each, revision=each.mod_revision) for each in items)
    return Seen(changes=changes, revision=revision, resync=True)


def gone(key, revision):
    return Seen(changes=(Change(key=key, item=None, revision=revision),), revision=revision)


def test_a_whole_state_older_than_what_is_known_takes_nothing_away(known):
    known.learn(KEY, item(20))
    known.learn_spool(record(21))
    assert known.live
    known.feed(whole(19))
    assert known.view(KEY).state is State.HELD
    assert known.live
    known.feed(whole(22))
    assert known.view(KEY).state is State.STRANGE
    assert not known.live, "it has to be opened again"


def test_a_key_or_record_that_is_deleted_is_gone_unless_written_since(known):
    known.learn(KEY, item(20))
    known.learn_spool(record(21))
    known.feed(gone(item(20).key, 18))
    known.feed(gone(record(21).key, 18))
    assert known.view(KEY).state is State.HELD
    assert known.live
    known.feed(gone(item(20).key, 23))
    known.feed(gone(record(21).key, 24))
    assert known.view(KEY).state is State.STRANGE
    assert not known.live


def test_only_pairings_with_this_node_at_an_end_are_kept_and_only_news_of_ownership_concerns(known):
    other = replace(item(20), key=KEYS.ownership("x", "y"))
    assert known.feed(whole(20, other))
    assert not known.views
    mine = replace(item(21), key=KEYS.ownership("x", "a"))
    assert known.feed(Seen(changes=(Change(key=mine.key, item=mine, revision=21),), revision=21))
    assert list(known.views) == [PairKey(spool="x", shadow="a")]
    budget = Item(key=KEYS.budget("t", "day"), value=b"{}", create_revision=22, mod_revision=22)
    assert not known.feed(Seen(changes=(Change(key=budget.key, item=budget, revision=22),), revision=22))
    name = KEYS.member(Role.NODE, "b")
    member = Item(key=name, value=encode({"spool": "t"}), create_revision=23, mod_revision=23)
    assert known.feed(Seen(changes=(Change(key=name, item=member, revision=23),), revision=23))
    assert known.seats.with_spool("t").node == "b"


def test_a_taking_ends_with_a_newer_key_or_a_new_session(known, sessions):
    known.learn(KEY, item(20, owner="b"))
    known.taking[KEY] = 20
    known.learn(KEY, item(20, owner="b"))
    assert known.taking
    known.learn(KEY, item(21, owner="b"))
    assert not known.taking
    known.taking[KEY] = 21
    sessions.value = structs.replace(LIVE, phase=Phase.OUT)
    assert known.follow()
    assert known.taking, "the store may still do it"
    sessions.value = structs.replace(LIVE, inc=30)
    assert known.follow()
    assert not known.taking


def test_a_session_that_follows_another_unseen_begins_anew(known, sessions):
    known.feed(whole(21, item(20), record(21)))
    assert known.fresh
    assert known.view(KEY).state is State.HELD
    sessions.value = structs.replace(LIVE, inc=30)
    assert known.inc == 0
    assert known.follow()
    assert known.view(KEY).state is State.UNCLAIMED
    assert not known.live
    assert not known.fresh
    known.learn(KEY, item(31))
    assert known.view(KEY).state is State.HELD


def test_a_run_counts_for_the_change_before_it_and_not_for_one_that_came_meanwhile(known):
    async def main(_loop):
        disk, jobs, done = Disk("s"), Jobs(), []
        disk.me = ME
        aligning = Aligning(known, disk, jobs, done=lambda: done.append((len(disk.aligned), aligning.done(KEY))))
        known.on_view = aligning.changed
        known.know(View(key=KEY, state=State.HELD))
        assert not aligning.done(KEY)
        disk.gate.clear()
        aligning.start()
        await asyncio.sleep(1)
        known.know(View(key=KEY, state=State.UNCLAIMED))
        known.know(View(key=KEY, state=State.HELD))
        aligning.start()
        disk.gate.set()
        await asyncio.sleep(1)
        assert disk.aligned == [(State.HELD, 0)] * 2
        assert done == [(1, False), (2, True)], "what came in while it was not held was not in line after the first"
        await jobs.close()

    run_virtual(main)
