"""What the administration interface may ask of a node beyond its spool."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from node.app.control import NodeControl, NothingToRelease
from node.app.hiding import Hiding
from node.app.owning import NotQuarantined
from node.delivery.heard import LastReply
from node.delivery.state import DeliveryState, WayState
from node.policy.health import HealthBook
from node.policy.pseudonym import Pseudonyms
from node.policy.reply import Stage
from node.shadow.sqlite import SqliteCopies
from node.spool.contract import Filter
from node.spool.hiding import Hider
from node.spool.sqlite import SqliteSpool
from tests.support.copies import attached, batch, copy
from tests.support.spool_mail import T0, accepted, attempt, message, settlement


class Guard:
    """Second copies whose spool is quarantined, or not."""

    def __init__(self, copies=None, *, quarantined=False):
        self.copies, self.quarantined = copies, quarantined

    def release(self):
        if not self.quarantined:
            raise NotQuarantined("this node's spool is not quarantined")
        self.quarantined = False


class Truth:
    """Keeps no reports."""

    async def erase(self, address):
        return 0


def control(spool=None, protection=None, hider=None, member=None) -> NodeControl:
    loaded = SimpleNamespace(node="relay-a")
    settings = SimpleNamespace(spool=Path("nowhere"))  # no order to erase is written in these tests
    parts = {"spool": spool, "loaded": loaded, "protection": protection, "delivery": None, "truth": Truth()}
    parts |= {"settings": settings, "hiding": Hiding(hider), "trust": None, "member": member}
    return NodeControl(SimpleNamespace(**parts))


async def test_this_nodes_settled_mail_is_shown_and_found_with_hashes(tmp_path):
    spool, hider = SqliteSpool(tmp_path, now_ms=lambda: T0), Hider(Pseudonyms(b"key"))
    await spool.open(T0)
    settled, waits = message(), message()
    for made in (settled, waits):
        await spool.append(accepted(made))
    start = attempt(settled)
    assert await spool.claim(start)
    await spool.settle(settlement(start))
    seen = control(spool, hider=hider)
    for _ in range(2):
        found = {view.message.id: view for view in await seen.find(Filter(recipient="bob@example.com"))}
        assert set(found) == {settled.id, waits.id}
        assert found[waits.id].recipients[0].address == "bob@example.com"
        for view in (found[settled.id], await seen.message(settled.id)):
            assert "bob@example.com" not in str(view)
            assert view.recipients[0].address == hider.one("bob@example.com")
        await spool.hide(hider, T0 + 1_000_000)
    await spool.close()


async def test_the_last_reply_of_a_way_is_shown_without_addresses_where_they_are_hidden():
    last = LastReply(at_ms=T0, stage=Stage.RCPT, code=550, enhanced="5.1.1", text="<bob@example.com> unknown")
    assert "bob@example.com" in control()._reply(last).text
    shown = control(hider=Hider(Pseudonyms(b"key")))._reply(last)
    assert (shown.code, shown.enhanced, shown.stage, "bob" in shown.text) == (550, "5.1.1", "rcpt", False)


async def test_erasing_an_address_reaches_history_of_the_spool_and_of_the_copy_store(tmp_path):
    spool, copies = SqliteSpool(tmp_path, now_ms=lambda: T0), SqliteCopies(tmp_path / "copies")
    await spool.open(T0)
    await copies.open(T0)
    own, other = message(), copy()
    await spool.append(accepted(own))
    start = attempt(own)
    assert await spool.claim(start)
    await spool.settle(settlement(start))
    stream = await copies.begin(attached(), "relay-b")
    await copies.put(attached(), batch(1, other, stream=stream))
    await copies.settle(attached(), [other.message_id], T0)
    assert await control(spool, Guard(copies)).erase("bob@example.com", "alice") == 2
    for view in (await spool.journey(own.id), await copies.past(other.message_id)):
        assert "bob@example.com" not in str(view)
        assert view.lines[-1].detail["actor"] == "alice"
    await copies.close()
    assert await control(spool).erase("nobody@example.com", "alice") == 0
    await spool.close()


def test_only_a_quarantined_spool_is_released():
    with pytest.raises(NothingToRelease, match="belongs to no cluster"):
        control().release_spool()
    with pytest.raises(NothingToRelease, match="is not quarantined"):
        control(protection=Guard()).release_spool()
    guard, doubted = Guard(quarantined=True), []
    budgets = SimpleNamespace(doubt=lambda: doubted.append("what it has forgotten was used"))
    control(protection=guard, member=SimpleNamespace(budgets=budgets)).release_spool()
    assert not guard.quarantined
    assert doubted


RELAY1 = "contoso/relay1@contoso.com"


def way(path: str) -> WayState:
    return WayState(
        way=f"{path}:{RELAY1}",
        path=path,
        account=RELAY1,
        tenant="contoso",
        host="h",
        connections_open=0,
        attempts=0,
        limit=1,
        opened=0,
    )


@pytest.mark.parametrize(
    ("resting", "wanted", "others"),
    [
        ((), ("healthy", "healthy"), []),
        ((f"account/{RELAY1}",), ("parked", "parked"), []),
        ((f"account/{RELAY1}#submission",), ("parked", "healthy"), []),
        ((f"account/{RELAY1}#graph", "path/contoso/hve"), ("healthy", "parked"), ["path/contoso/hve"]),
    ],
)
def test_each_way_shows_what_rests_of_its_account(resting, wanted, others):
    book = HealthBook()
    for scope in resting:
        book.park(scope, T0, reason="test", by="alice")
    state = DeliveryState(
        at_ms=T0,
        ways=(way("submission"), way("graph")),
        standings=book.entries,
        attempts=(),
        attempts_total=0,
        lanes=0,
        resting=(),
    )
    made = control()
    made._node.delivery = SimpleNamespace(state=lambda: state)
    views = made.ways()
    assert tuple(view.state for view in views[:2]) == wanted
    assert [view.account for view in views[2:]] == others
