"""What the administration interface may ask of a node beyond its spool."""

from types import SimpleNamespace

import pytest

from node.app.control import NodeControl, NothingToRelease
from node.app.owning import NotQuarantined
from node.shadow.sqlite import SqliteCopies
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


def control(spool=None, protection=None) -> NodeControl:
    loaded = SimpleNamespace(node="relay-a")
    return NodeControl(SimpleNamespace(spool=spool, loaded=loaded, protection=protection, delivery=None))


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
    guard = Guard(quarantined=True)
    control(protection=guard).release_spool()
    assert not guard.quarantined
