"""With keyed hashes no planted address stands in history: on no page, in no row of a spool and of the copies.

And yet whoever has the address finds its mail."""

import msgspec
import pytest

from node.app.hiding import Hiding
from node.policy.envelope import Direction, Recipient, RecipientState
from node.policy.pseudonym import Pseudonyms
from node.spool.contract import Filter, RecipientResult
from node.spool.hiding import Hider
from tests.support.peers import NODES
from tests.support.queues_house import QueuesHouse
from tests.support.spool_mail import T0

FIRST, SECOND = NODES[:2]
PLANTED = ("planted-sender", "planted-ann", "planted-alias", "planted-header", "planted-owner")
LATER = T0 + 1_000_000
HIDER = Hider(Pseudonyms(b"the key of all three nodes"))


@pytest.fixture
async def house(tmp_path):
    async with QueuesHouse(tmp_path) as made:
        for node in made.nodes.values():
            node.hiding.hider = HIDER
        yield made


def to(address: str = "planted-ann@x.example") -> tuple[Recipient, ...]:
    return (
        Recipient(
            address=address,
            direction=Direction.EXTERNAL,
            original="planted-alias@x.example",
            orcpt=f"rfc822;{address}",
        ),
    )


async def put(node, shadow="", **facts):
    return await node.put(
        shadow,
        rcpts=to(),
        mail_from="planted-sender@contoso.com",
        sender="planted-header@contoso.com",
        also={"owner": "planted-owner@contoso.com", "message_id": "<1.planted-ann@contoso.com>"},
        **facts,
    )


async def settle(node, made, state=RecipientState.BOUNCED, at_ms=T0 + 5):
    reply = "550 5.1.1 <planted-ann@x.example> is not here"
    result = RecipientResult(index=0, state=state, reason="no_such_user", reply=reply)
    await node.spool.finish(made.id, [result], at_ms, "")


def clean(value) -> None:
    text = msgspec.json.encode(value).decode()
    assert not [word for word in PLANTED if word in text], text


async def on_disk(node) -> list[object]:
    """All columns of all rows."""
    places = {
        node.spool._engine.readers: ("messages", "recipients", "journey"),
        node.copies._readers: ("past", "searched"),
    }
    found = []
    for readers, tables in places.items():
        for table in tables:
            found += await readers.ask(lambda database, name=table: database.run_text(f"SELECT * FROM {name}"))
    return found


async def test_pages_show_hashes_from_the_moment_it_is_settled(house):
    node = house.nodes[FIRST]
    made = await put(node)
    page = await node.history.page(Filter(recipient="planted-ann@x.example"), None)
    assert page.messages[0].recipients[0].address == "planted-ann@x.example", "what waits must be handled"
    await settle(node, made)
    for asked in house.nodes.values():
        for which in (
            Filter(),
            Filter(recipient="planted-ann@x.example"),
            Filter(recipient="planted-alias@x.example"),
            Filter(sender="planted-sender@contoso.com"),
            Filter(recipient="*@x.example"),
        ):
            page, found = await asked.history.page(which, None), await asked.queues.find(which)
            assert [each.message.id for each in page.messages] == [made.id], which
            assert [each.message.id for each in found.messages] == [made.id], which
            clean(page)
            clean(found)
        clean(await asked.queues.trace(made.id))


async def test_no_row_keeps_an_address_and_all_is_found(house):
    node = house.nodes[FIRST]
    made = await put(node)
    await settle(node, made)
    assert await node.spool.hide(HIDER, LATER) == 1
    assert await node.spool.hide(HIDER, LATER) == 0, "what is hidden is not gone through again"
    assert not [row for row in await on_disk(node) for word in PLANTED if word in str(row)]
    for which in (Filter(recipient="planted-ann@x.example"), Filter(sender="planted-header@contoso.com")):
        page = await node.history.page(which, None)
        assert [each.message.id for each in page.messages] == [made.id]
    assert not (await node.history.page(Filter(recipient="other@x.example"), None)).messages
    hashed = page.messages[0].recipients[0].address
    assert [m.message.id for m in (await node.history.page(Filter(recipient=hashed), None)).messages] == [made.id]


async def test_what_waits_and_what_can_be_sent_again_is_hidden_later(house):
    node = house.nodes[FIRST]
    waits, dead, young = await put(node), await put(node), await put(node)
    await settle(node, dead, RecipientState.DEAD)
    await settle(node, young, at_ms=LATER)
    assert await node.spool.hide(HIDER, LATER) == 0
    view = await node.spool.journey(waits.id)
    assert view.recipients[0].address == "planted-ann@x.example"
    assert (await node.queues.find(Filter(ids=(dead.id,)))).messages[0].recipients[0].address.startswith("planted-ann")
    await settle(node, waits)
    await node.spool.delete(Filter(ids=(dead.id,)), "ops", "no use", T0 + 9)
    assert await node.spool.hide(HIDER, LATER + 1) == 3
    assert not [row for row in await on_disk(node) for word in PLANTED if word in str(row)]


async def test_copies_of_settled_mail_are_hidden_as_they_come(house):
    owner, keeper = house.nodes[FIRST], house.nodes[SECOND]
    before = await put(owner, SECOND)
    pair = await keeper.keep_of(owner, before)
    await keeper.copies.settle(pair, [before.id], T0 + 5)
    assert await keeper.copies.hide(HIDER) == 1, "what was there before it was wished"
    later = await put(owner, SECOND)
    await keeper.keep_of(owner, later)
    await keeper.copies.settle(pair, [later.id], T0 + 6)
    clean(await keeper.queues.find(Filter(recipient="planted-ann@x.example"), here=True))
    assert await keeper.copies.hide(HIDER) == 1
    assert await keeper.copies.hide(HIDER) == 0
    assert not [row for row in await on_disk(keeper) for word in PLANTED if word in str(row)]
    page = await keeper.history.page(Filter(recipient="planted-ann@x.example"), None, here=True)
    assert {each.message.id for each in page.messages} == {before.id, later.id}


async def test_no_longer_wished_it_is_not_noted(house):
    keeper = house.nodes[SECOND]
    await keeper.copies.hide(HIDER)
    await keeper.copies.hide(None)
    owner = house.nodes[FIRST]
    made = await put(owner, SECOND)
    pair = await keeper.keep_of(owner, made)
    await keeper.copies.settle(pair, [made.id], T0 + 5)
    assert "planted-ann" in str((await keeper.copies.find_past(Filter())).items)
    assert await keeper.copies.hide(HIDER) == 1, "wished again, what came meanwhile is hidden too"


async def test_an_address_is_erased_by_its_name(house):
    node = house.nodes[FIRST]
    made = await put(node)
    await settle(node, made)
    await node.spool.hide(HIDER, LATER)
    changed = [await node.spool.erase(each, "dpo", T0 + 9) for each in Hiding(HIDER).names("Planted-Ann@x.example")]
    assert changed == [0, 1]
    page = await node.history.page(Filter(recipient="planted-ann@x.example"), None)
    assert not page.messages
