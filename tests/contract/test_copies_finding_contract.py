"""What every copy store finds of history and of copies, on disk and in memory alike."""

import pytest

from node.policy.envelope import RecipientState
from node.shadow import addresses, finding
from node.shadow.entries import Discard, Lines, Outcome
from node.shadow.memory import MemoryCopies
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Filter, JourneyLine
from node.spool.erasing import MARK
from node.spool.paired import Progress
from node.spool.rows import facts_of
from tests.support.copies import OWNER, attached, batch, copy
from tests.support.spool_mail import BODY, T0, message

S = RecipientState
PAIR, OTHER = attached(), attached(spool="33333333-3333-4333-8333-333333333333")


@pytest.fixture(params=["sqlite", "memory"])
async def copies(request, tmp_path):
    made = SqliteCopies(tmp_path / "copies") if request.param == "sqlite" else MemoryCopies()
    await made.open(T0)
    yield made
    await made.close()


@pytest.fixture
async def disk(tmp_path):
    made = SqliteCopies(tmp_path / "disk")
    await made.open(T0)
    yield made
    await made.close()


class Feed:
    """Sends under one pairing."""

    def __init__(self, copies, pair=PAIR) -> None:
        self.copies, self.pair, self.stream, self.count = copies, pair, 0, 0

    async def __call__(self, *entries) -> None:
        if not self.stream:
            self.stream = await self.copies.begin(self.pair, OWNER)
        self.count += 1
        await self.copies.put(self.pair, batch(self.count, *entries, stream=self.stream, spool=self.pair.key.spool))

    async def keep(self, name, **facts):
        made = message(name, **facts)
        await self(copy(name, facts=facts_of(made)))
        return made

    async def settle(self, name, *lines, **facts):
        made = await self.keep(name, **facts)
        await self(Lines(message_id=name, lines=lines), Discard(message_ids=(name,), at_ms=T0 + 5))
        return made


def ended(event, index=0):
    return JourneyLine(at_ms=T0 + 4, event=event, indexes=(index,))


def names(found):
    return [each.message_id for each in found.items]


async def past(copies, **which):
    return names(await copies.find_past(Filter(**which)))


async def kept(copies, *pairs, **which):
    return names(await copies.find_kept(Filter(**which), pairs or (PAIR,)))


async def test_history_is_found_by_whom_it_went_to_and_came_from_newest_first(copies):
    feed = Feed(copies)
    await feed.settle("m1", to=("ann@x.example", "bob@y.example"), sender="app@contoso.com")
    await feed.settle("m2", to=("Ann@X.example",), sender="other@contoso.com")
    await feed.settle("m3", to=("carl@z.example",), sender="app@contoso.com")
    await feed.keep("m4", to=("ann@x.example",))
    assert await past(copies, recipient="ANN@x.example") == ["m2", "m1"]
    assert await past(copies, recipient="*@y.example") == ["m1"]
    assert await past(copies, sender="app@contoso.com") == ["m3", "m1"]
    assert await past(copies, sender="*@contoso.com") == ["m3", "m2", "m1"]
    assert await past(copies, sender="app@contoso.com", recipient="ann@x.example") == ["m1"]
    assert await past(copies, recipient="nobody@x.example") == []
    assert await past(copies) == ["m3", "m2", "m1"]
    assert await past(copies, limit=2) == ["m3", "m2"]
    assert await past(copies, ids=("m1", "m3", "m4")) == ["m3", "m1"]


async def test_history_is_found_by_time_and_client(copies):
    feed = Feed(copies)
    for turn, client in enumerate(("apps", "hr", "apps")):
        await feed.settle(f"m{turn}", client=client, received_ms=T0 + turn)
    assert await past(copies, client="apps") == ["m2", "m0"]
    assert await past(copies, since_ms=T0 + 1) == ["m2", "m1"]
    assert await past(copies, since_ms=T0, until_ms=T0 + 1) == ["m0"]


async def test_of_an_end_nobody_told_no_state_is_meant(copies):
    feed = Feed(copies)
    await feed.settle("m1", ended("delivered"))
    await feed.settle("m2", ended("bounced"))
    await feed.settle("m3")
    assert await past(copies, states=(S.DELIVERED,)) == ["m1"]
    assert await past(copies, states=(S.BOUNCED, S.DELIVERED)) == ["m2", "m1"]
    assert await past(copies, states=(S.UNKNOWN,)) == []
    assert await past(copies) == ["m3", "m2", "m1"]


async def test_copies_are_found_as_they_stand_under_the_pairings_named(copies):
    feed, other = Feed(copies), Feed(copies, OTHER)
    await feed.keep("m1", to=("ann@x.example",))
    await other.keep("m2", to=("ann@x.example",))
    await feed.keep("m3", to=("bob@x.example",))
    await feed.settle("m4", to=("ann@x.example",))
    stands = (Progress(index=0, state=S.HELD, reason="why"),)
    await feed(Outcome(message_id="m3", attempt_id="", progress=stands))
    assert await kept(copies) == ["m3", "m1"]
    assert await kept(copies, PAIR, OTHER) == ["m3", "m2", "m1"]
    assert await kept(copies, PAIR, OTHER, recipient="ann@x.example") == ["m2", "m1"]
    assert await kept(copies, states=(S.HELD,)) == ["m3"]
    assert await kept(copies, states=(S.QUEUED,)) == ["m1"]
    assert await kept(copies, reason="why") == ["m3"]
    assert await kept(copies, PAIR, OTHER, limit=2) == ["m3", "m2"]
    assert await kept(copies, attached(99)) == []


async def test_an_address_taken_out_is_found_no_more_and_what_is_dropped_leaves_nothing(disk):
    feed = Feed(disk)
    await feed.settle("m1", to=("ann@x.example", "bob@x.example"))
    await feed.settle("m2", to=("bob@x.example",))
    assert await disk.erase("ann@x.example", "ops", T0 + 9) == 1
    assert await past(disk, recipient="ann@x.example") == []
    assert await past(disk, recipient="bob@x.example") == ["m2", "m1"]
    assert await past(disk, recipient=MARK) == ["m1"]
    assert await disk.prune(T0 + 9, 10) == 2
    assert await disk._readers.ask(_rows) == []


def _rows(database):
    return database.run_text("SELECT role, key, id FROM searched ORDER BY 1, 2, 3")


async def test_what_was_settled_before_there_was_an_index_is_put_in_a_part_at_a_time(disk):
    feed = Feed(disk)
    for turn in range(7):
        await feed.settle(f"m{turn}", to=("ann@x.example",))
    before = await disk._readers.ask(_rows)
    await disk._engine.soon(_forget)
    assert await past(disk, recipient="ann@x.example") == []
    counts = []
    while counts[-1:] != [0]:
        counts.append(await disk.complete_addresses(3))
    assert counts == [3, 3, 1, 0]
    assert await disk._readers.ask(_rows) == before
    await feed.settle("m9", to=("ann@x.example",))
    assert await past(disk, recipient="ann@x.example", limit=1) == ["m9"]


def _forget(database):
    database.run_text("DELETE FROM searched")
    database.run_text("UPDATE meta SET value = '' WHERE key = 'addressed'")
    return addresses.Done()


async def test_a_question_looks_at_so_much_and_says_that_there_may_be_more(disk, monkeypatch):
    monkeypatch.setattr(finding, "LOOKED_MAX", 4)
    monkeypatch.setattr(finding, "PAGE", 2)
    feed = Feed(disk)
    for turn in range(6):
        await feed.settle(f"m{turn}", to=("ann@x.example",), client="hr" if turn == 1 else "apps")
        await feed.keep(f"n{turn}", client="hr" if turn == 1 else "apps")
    assert await past(disk, client="hr") == ["m1"], "by its own index"
    of_ann = Filter(client="hr", recipient="ann@x.example")
    found = await disk.find_past(of_ann)
    assert (names(found), found.more) == ([], True)
    found = await disk.find_kept(Filter(client="hr"), [PAIR])
    assert (names(found), found.more) == ([], True)
    found = await disk.find_past(Filter(client="apps", limit=3))
    assert (names(found), found.more) == (["m5", "m4", "m3"], False)
    monkeypatch.setattr(finding, "LOOKED_MAX", 6)
    found = await disk.find_past(of_ann)
    assert (names(found), found.more) == (["m1"], False)
    found = await disk.find_kept(Filter(client="hr"), [PAIR])
    assert names(found) == ["n1"]


async def test_on_a_disk_however_slow_each_owners_copies_are_looked_at_in_part_at_least(disk, monkeypatch):
    monkeypatch.setattr(finding, "LOOKED_S", 0.0)
    monkeypatch.setattr(finding, "PAGE", 2)
    feed, other = Feed(disk), Feed(disk, OTHER)
    for turn in range(6):
        await feed.keep(f"m{turn}", client="hr" if turn in (1, 4) else "apps")
        await other.keep(f"n{turn}", client="hr" if turn in (1, 4) else "apps")
    found = await disk.find_kept(Filter(client="hr"), [PAIR, OTHER])
    assert (names(found), found.more) == (["n4", "m4"], True)
    found = await disk.find_kept(Filter(client="hr"), [])
    assert (names(found), found.more) == ([], False)


async def test_what_cannot_be_read_is_not_found_and_hides_nothing(disk):
    feed = Feed(disk)
    await feed.settle("m1", to=("ann@x.example",))
    await feed(copy("m2", b"x" * len(BODY)))
    await disk._engine.soon(_spoil)
    assert await past(disk) == []
    assert await past(disk, recipient="ann@x.example") == []
    assert await kept(disk) == ["m2"]


def _spoil(database):
    database.run_text("UPDATE past SET facts = x'00'")
    return addresses.Done()
