"""The view of members: what was seen, since when it is gone."""

from coordinator.keys import encode
from coordinator.members import MemberRecord, Membership
from coordinator.store.contract import Change, Item, Seen

P = "/x/members/"


def put(node, revision, lease=1, value=None):
    record = encode(MemberRecord(node=node, boot_id="b", process_id="p")) if value is None else value
    item = Item(key=P + node, value=record, create_revision=revision, mod_revision=revision, lease=lease)
    return Change(key=P + node, item=item, revision=revision)


def gone(node, revision):
    return Change(key=P + node, item=None, revision=revision)


def test_members_come_and_go_with_the_time_of_learning():
    view = Membership(P, known=("a", "b"), now_ms=100)
    assert view.gone_ms("a") == 100
    view.feed(Seen(changes=(put("a", 5),), revision=5, resync=True), 200)
    assert (view.live, view.gone_ms("a"), view.get("a").inc) == (("a",), None, 5)
    view.feed(Seen(changes=(gone("a", 7),), revision=7), 900)
    assert (view.live, view.gone_ms("a"), view.get("a")) == ((), 900, None)
    assert view.gone_ms("stranger") == 100


def test_a_resync_forgets_who_is_no_longer_there():
    view = Membership(P, known=(), now_ms=0)
    view.feed(Seen(changes=(put("a", 5), put("b", 6)), revision=6, resync=True), 10)
    view.feed(Seen(changes=(put("b", 6),), revision=9, resync=True), 50)
    assert (view.live, view.gone_ms("a")) == (("b",), 50)


def test_a_new_life_between_two_looks_is_noticed():
    view = Membership(P, known=(), now_ms=0)
    view.feed(Seen(changes=(put("a", 5),), revision=5, resync=True), 10)
    view.feed(Seen(changes=(put("a", 9, lease=2),), revision=9), 50)
    assert (view.get("a").inc, view.get("a").lease) == (9, 2)


def test_a_record_that_cannot_be_read_is_present_all_the_same():
    view = Membership(P, known=(), now_ms=0)
    for number, value in enumerate((b"\xff\xfe", b"", b"[]", b'{"node": 3}', b"{" * 5_000, b'{"v": 9}'), 5):
        view.feed(Seen(changes=(put("a", number, value=value),), revision=number), 10)
        assert view.live == ("a",)
        assert view.get("a").record is None


def test_keys_of_others_are_ignored():
    view = Membership(P, known=(), now_ms=0)
    foreign = Change(key="/elsewhere", item=None, revision=3)
    view.feed(Seen(changes=(foreign,), revision=3), 10)
    assert view.live == ()
