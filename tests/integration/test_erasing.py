"""An address erased on three nodes over the real channel, with real spools and copy stores; one of them is away."""

import sqlite3

import msgspec
import pytest

from coordinator.peers.contract import PeerError
from node.app import erasing
from node.app.erasing import Command, Erasures, Said, left
from node.policy.envelope import RecipientState
from node.spool.contract import Filter
from tests.support.queues_house import QueuesHouse, credential
from tests.support.spool_mail import T0, attempt, outcome, settlement

ANN = "ann@x.example"
DPO = credential("dpo")
S = RecipientState


@pytest.fixture
async def house(tmp_path, monkeypatch):
    monkeypatch.setattr(erasing, "wall_ms", lambda: T0 + 100)
    async with QueuesHouse(tmp_path) as made:
        yield made


@pytest.fixture
def told():
    return []


@pytest.fixture
def erasures(house, told):
    return {name: made_for(house, name, told) for name in house.nodes}


def made_for(house, name, told):
    """The erasures of a node as it would have them after a start, and their answers on its channel."""
    node = house.nodes[name]

    async def erase(command: Command) -> Said:
        changed = await node.spool.erase(command.address, command.actor, T0 + 101)
        changed += await node.copies.erase(command.address, command.actor, T0 + 101)
        return Said(changed=changed, waiting=await left(node.spool, node.copies, command))

    async def tell(entry) -> None:
        told.append((name, entry))

    made = Erasures(
        name, house.root / name / "kept", erase, lambda text: f"hash{len(text)}", peers=node.queues._peers,
        others=lambda: [each for each in house.nodes if each != name], tell=tell, trust=node.trust,
    )  # fmt: skip
    house.servers[name]._routes = {**house.servers[name]._routes, **made.routes()}
    return made


async def settled(node, made):
    start = attempt(made)
    assert await node.spool.claim(start)
    ends = [outcome(index, S.DELIVERED, reply=f"250 <{ANN}> fine") for index in start.indexes]
    await node.spool.settle(settlement(start, *ends))


async def spread(house):
    """Settled mail to Ann on every node, and its history where copies were kept."""
    a, b, c = house.nodes.values()
    for node, shadow in ((a, b), (b, c), (c, a)):
        made = await node.put(shadow.name, message_id=f"of-{node.name}", to=(ANN, "bob@x.example"))
        pair = await shadow.keep_of(node, made)
        await settled(node, made)
        await shadow.copies.settle(pair, [made.id], T0 + 9)
    return a, b, c


def rows_of(house) -> str:
    """Every row of every database, as text."""

    found = []
    for path in sorted(house.root.glob("**/*.sqlite3")):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found += [repr(row) for row in database.execute(f"SELECT * FROM {table}")]
        database.close()
    return "\n".join(found).lower()


async def flushed(house) -> None:
    for node in house.nodes.values():
        await node.spool.find(Filter(limit=1))


async def test_no_row_names_it_any_more_on_any_node(house, erasures, told):
    a, *_ = await spread(house)
    await flushed(house)
    assert rows_of(house).count("ann@x.example") >= 6
    view = await erasures[a.name].order("Ann@X.example", "dpo", "asked for it", DPO)
    assert (view.changed, view.waiting, view.done_ms) == (6, {}, T0 + 100)
    rows = rows_of(house)
    assert "ann@x.example" not in rows
    assert "x.example@ann" not in rows
    assert "bob@x.example" in rows
    assert "ann" not in (house.root / a.name / "kept" / erasing.FILE).read_text().lower()
    events = [(name, entry["event"], entry["actor"]) for name, entry in told]
    assert events[-1] == (a.name, "an address is erased on every node", "dpo")
    assert {name for name, event, _ in events if event == "address erased from history"} == set(house.nodes) - {a.name}
    assert "ann" not in str(told).lower()


async def test_a_node_that_is_away_is_asked_again_also_after_a_restart_of_the_one_asked(house, erasures, told):
    a, b, c = await spread(house)
    server = house.servers[b.name]
    answers, server._routes = server._routes, {}
    view = await erasures[a.name].order(ANN, "dpo", "asked for it", DPO)
    assert (view.done_ms, list(view.waiting), view.changed) == (0, [b.name], 4)
    again = made_for(house, a.name, told)
    assert [(one.id, list(one.waiting)) for one in await again.all()] == [(view.id, [b.name])]
    await again.look()
    assert (await again.all())[0].done_ms == 0
    server._routes = answers
    await again.look()
    await again.look()
    (done,) = await again.all()
    assert (done.done_ms, done.waiting, done.changed) == (T0 + 100, {}, 6)
    assert "ann@x.example" not in rows_of(house)
    assert c


async def test_mail_under_way_and_copies_of_it_keep_the_order_open_and_later_mail_does_not(house, erasures):
    a, b, _ = house.nodes.values()
    made = await a.put(b.name, message_id="m1", to=(ANN,))
    pair = await b.keep_of(a, made)
    await a.put("", message_id="m2", to=(ANN,), received_ms=T0 + 200)
    view = await erasures[b.name].order(ANN, "dpo", "why", DPO)
    assert set(view.waiting) == {a.name, b.name}
    await settled(a, made)
    await erasures[b.name].look()
    (view,) = await erasures[b.name].all()
    assert set(view.waiting) == {b.name}
    await b.copies.settle(pair, ["m1"], T0 + 9)
    await erasures[b.name].look()
    assert not (await erasures[b.name].all())[0].done_ms, "one round in which nothing is left is not enough"
    await erasures[b.name].look()
    assert (await erasures[b.name].all())[0].done_ms
    page = await a.spool.page(Filter(recipient=ANN))
    assert [each.message.id for each in page.messages] == ["m2"]


async def test_the_same_address_twice_is_one_order_and_a_disk_that_refuses_erases_nothing(house, erasures, monkeypatch):
    a, b, _ = await spread(house)
    house.servers[b.name]._routes = {}
    first = await erasures[a.name].order(ANN, "dpo", "why", DPO)
    assert (await erasures[a.name].order("ANN@x.example", "x", "y", DPO)).id == first.id

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(erasing, "write_durably", full)
    with pytest.raises(erasing.OrderNotKept, match="No space"):
        await erasures[b.name].order("bob@x.example", "dpo", "why", DPO)
    assert "bob@x.example" in rows_of(house)
    assert await erasures[b.name].all() == []


async def test_a_file_that_cannot_be_read_is_set_aside_and_said(house, erasures, caplog):
    name = next(iter(house.nodes))
    path = house.root / name / "kept" / erasing.FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    assert await erasures[name].all() == []
    assert "must be erased again" in caplog.text
    assert path.with_suffix(".unreadable").exists()


async def test_a_command_that_cannot_be_read_is_refused(house, erasures):
    a, b, _ = house.nodes.values()

    assert erasures
    with pytest.raises(PeerError, match="not understood"):
        await a.queues._peers.ask(b.name, erasing.ERASE, msgspec.json.encode({"address": 1}), timeout_s=20)
