"""Pages of history: what every spool gives, on disk and in memory alike."""

import asyncio

import pytest

from node.policy.envelope import RecipientState
from node.spool import history
from node.spool.contract import Filter
from node.spool.database import Database
from node.spool.memory import MemorySpool
from node.spool.opening import make_ready
from node.spool.pages import Spot
from node.spool.queries import migrations
from node.spool.rows import facts_of
from node.spool.schema import Schema
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import T0, accepted, attempt, message, outcome, recipients, settlement

S = RecipientState


@pytest.fixture(params=["sqlite", "memory"])
async def spool(request, tmp_path):
    kind = SqliteSpool if request.param == "sqlite" else MemorySpool
    made = kind(tmp_path / "spool", now_ms=lambda: T0)
    await made.open(T0)
    yield made
    await made.close()


async def put(spool, *facts):
    made = [message(**each) for each in facts]
    await asyncio.gather(*(spool.append(accepted(each)) for each in made))
    return made


async def turned(spool, limit=1_000, **which):
    """All pages one after the other; ids, and how many pages there were."""
    before, found, pages = None, [], 0
    while pages < 100:
        page = await spool.page(Filter(limit=limit, **which), before)
        assert len(page.messages) <= limit
        found += [view.message.id for view in page.messages]
        before, pages = page.looked_to, pages + 1
        if before is None:
            return found, pages
    raise AssertionError("the pages have no end")


async def test_messages_come_newest_first_in_whatever_order_they_were_taken_in(spool):
    times = {"m1": 5, "m4": 1, "m2": 5, "m3": 9, "m5": 5}
    await put(spool, *({"message_id": name, "received_ms": T0 + at} for name, at in times.items()))
    assert await turned(spool) == (["m3", "m5", "m2", "m1", "m4"], 1)
    for limit in (1, 2, 3):
        found, pages = await turned(spool, limit)
        assert found == ["m3", "m5", "m2", "m1", "m4"]
        assert pages >= 5 // limit


async def test_a_page_goes_on_from_a_place_whatever_came_meanwhile(spool):
    await put(spool, *({"message_id": f"m{number}", "received_ms": T0 + number} for number in range(4)))
    page = await spool.page(Filter(limit=2))
    assert ([view.message.id for view in page.messages], page.looked_to) == (
        ["m3", "m2"],
        Spot(received_ms=T0 + 2, id="m2"),
    )
    await put(spool, {"message_id": "m9", "received_ms": T0 + 9}, {"message_id": "m0a", "received_ms": T0})
    rest = await spool.page(Filter(limit=9), page.looked_to)
    assert ([view.message.id for view in rest.messages], rest.looked_to) == (["m1", "m0a", "m0"], None)


@pytest.mark.parametrize("limit", [1, 2, 1_000])
async def test_every_filter_finds_what_it_means_and_each_once(spool, limit):
    await put(
        spool,
        {"message_id": "m1", "to": ("ann@x.example", "bob@y.example"), "client": "apps"},
        {"message_id": "m2", "to": ("Ann@X.example",), "sender": "hr@contoso.com", "mail_from": "bounce@lists.example"},
        {"message_id": "m3", "to": ("ann@x.example", "ann@x.example"), "client": "hr", "received_ms": T0 + 5},
        {"message_id": "m4", "to": ("eve@y.example",), "client": "hr", "held": True},
    )

    async def ids(**which):
        return (await turned(spool, limit, **which))[0]

    assert await ids(recipient="ANN@x.example") == ["m3", "m2", "m1"]
    assert await ids(recipient="*@y.example") == ["m4", "m1"]
    assert await ids(sender="hr@contoso.com") == ["m2"]
    assert await ids(sender="bounce@lists.example") == ["m2"]
    assert await ids(sender="*@contoso.com") == ["m3", "m4", "m2", "m1"]
    assert await ids(client="hr") == ["m3", "m4"]
    assert await ids(client="hr", recipient="ann@x.example") == ["m3"]
    assert await ids(states=(S.HELD,)) == ["m4"]
    assert await ids(states=(S.QUEUED,)) == ["m3", "m2", "m1"]
    assert await ids(since_ms=T0, until_ms=T0 + 5) == ["m4", "m2", "m1"]
    assert await ids(ids=("m1", "m3", "m7")) == ["m3", "m1"]
    assert await ids(recipient="nobody@x.example") == []


async def test_a_recipient_is_found_by_the_address_it_had_before_and_by_how_it_ended(spool):
    (was,) = recipients("new@x.example")
    was = type(was)(address="new@x.example", direction=was.direction, original="old@x.example")
    (made,) = await put(spool, {"message_id": "m1", "rcpts": (was,)})
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DELIVERED)))
    for address in ("old@x.example", "new@x.example"):
        assert (await turned(spool, recipient=address, states=(S.DELIVERED,)))[0] == ["m1"]
    assert (await turned(spool, recipient="old@x.example", states=(S.QUEUED,)))[0] == []


async def test_what_is_not_rare_is_walked_and_a_page_that_looked_enough_says_where_it_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "FEW", 2)
    monkeypatch.setattr(history, "LOOKED_MAX", 4)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    clients = [*["hr"] * 3, *["apps"] * 9]
    await put(
        spool,
        *(
            {"message_id": f"m{number}", "received_ms": T0 + number, "to": ("ann@x.example",), "client": client}
            for number, client in enumerate(clients)
        ),
    )
    page = await spool.page(Filter(recipient="ann@x.example", client="hr"))
    assert (page.messages, page.looked_to) == ((), Spot(received_ms=T0 + 8, id="m8"))
    assert (await turned(spool, recipient="ann@x.example", client="hr")) == (["m2", "m1", "m0"], 3)
    for which in ({"recipient": "ann@x.example"}, {"recipient": "*@x.example"}, {"sender": "*@contoso.com"}):
        assert (await turned(spool, **which, client="hr"))[0] == ["m2", "m1", "m0"]
        assert (await turned(spool, 3, **which))[0] == [f"m{number}" for number in range(11, -1, -1)]
    await spool.close()


async def test_a_page_ends_in_time_and_still_goes_on_by_one_message_at_least(tmp_path, monkeypatch):
    monkeypatch.setattr(history, "FEW", 2)
    monkeypatch.setattr(history, "PAGE_S", 0.0)
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    facts = [{"message_id": f"m{number}", "received_ms": T0 + number, "to": ("ann@x.example",)} for number in range(5)]
    await put(spool, *facts)
    page = await spool.page(Filter(recipient="ann@x.example"))
    assert [found.message.id for found in page.messages] == ["m4"]
    assert page.looked_to == Spot(received_ms=T0 + 4, id="m4")
    assert await turned(spool, recipient="ann@x.example") == ([f"m{number}" for number in range(4, -1, -1)], 5)
    await spool.close()


async def test_history_of_a_spool_of_an_older_schema_is_found_after_the_migration(tmp_path):
    (tmp_path / "spool").mkdir()
    path = tmp_path / "spool" / "spool.sqlite3"
    database = Database(path, writable=True)
    make_ready(database, path, T0, Schema(migrations=migrations()[:3]))
    made = message("m1", to=("ann@x.example",), received_ms=T0 + 7)
    database.run_text("INSERT INTO lanes (id, name) VALUES (1, 'normal/external')")
    database.run_text(
        "INSERT INTO messages (seq, id, received_ms, expires_ms, finished_ms, client, sender, facts)"
        " VALUES (1, 'm1', ?, ?, ?, 'app', 'contoso.com@app', ?)",
        (T0 + 7, T0 + 9, T0 + 8, facts_of(made)),
    )
    database.run_text(
        "INSERT INTO recipients (message, idx, state, lane, address) VALUES (1, 0, 'delivered', 1, 'x.example@ann')"
    )
    database.close()
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    assert (await turned(spool, recipient="ann@x.example", since_ms=T0 + 6))[0] == ["m1"]
    await spool.close()
