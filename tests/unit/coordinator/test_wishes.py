"""Operators' wishes: what counts, what is ignored and said, whose word it is."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.keys import Keys, Role
from coordinator.signing import Signer, Verifier
from coordinator.store.contract import Change, Item, Seen
from coordinator.wishes import (
    ALL,
    MOVE_MAX_MS,
    PAUSE_MAX_MS,
    VALUE_MAX_BYTES,
    WISHES_MAX,
    BadWish,
    Kind,
    Wish,
    WishBook,
    fault_of,
    suffix_of,
)
from tests.support.wishes import CLUSTER, NOW_MS, authority, identity, leaf, pem, signer, verifier, wish

KEYS = Keys(cluster=CLUSTER)


def trusting(key: str, value: bytes) -> Wish:
    return msgspec.json.decode(value, type=Wish)


def item(wanted: Wish, revision: int = 1, *, value: bytes | None = None, name: str | None = None) -> Item:
    key = KEYS.control(name or suffix_of(wanted.kind, wanted.what))
    data = msgspec.json.encode(wanted) if value is None else value
    return Item(key=key, value=data, create_revision=1, mod_revision=revision)


def seen(*items: Item, resync: bool = False) -> Seen:
    changes = tuple(Change(key=each.key, item=each, revision=each.mod_revision) for each in items)
    return Seen(changes=changes, revision=max((each.mod_revision for each in items), default=0), resync=resync)


def member(node: str, began: int, revision: int = 0) -> Item:
    key = KEYS.member(Role.NODE, node)
    return Item(key=key, value=b"{}", create_revision=began, mod_revision=revision or began)


# -- a node that was declared dead


def test_that_a_node_is_dead_is_said_of_the_session_it_had():
    book = WishBook(KEYS, trusting)
    said = wish(Kind.DEAD, what="node-c")
    book.feed(seen(member("node-c", 5), item(said, 10)))
    assert book.dead(NOW_MS) == {"node-c"}
    book.feed(seen(member("node-c", 5, 12)))
    assert (book.dead(NOW_MS), book.revived(NOW_MS)) == ({"node-c"}, ())
    book.feed(seen(member("node-d", 14)))
    assert book.dead(NOW_MS) == {"node-c"}
    book.feed(seen(member("node-c", 15)))
    assert (book.dead(NOW_MS), book.in_force(NOW_MS), book.revived(NOW_MS)) == (frozenset(), (), (said,))
    gone = Change(key=KEYS.member(Role.NODE, "node-c"), item=None, revision=20)
    book.feed(Seen(changes=(gone,), revision=20, resync=False))
    assert book.dead(NOW_MS) == frozenset(), "it was back, and a word about the time before says nothing of now"
    again = wish(Kind.DEAD, what="node-c", sequence=2)
    book.feed(seen(item(again, 21)))
    assert (book.dead(NOW_MS), book.revived(NOW_MS)) == ({"node-c"}, ())


def test_in_whatever_order_they_are_listed_a_later_session_ends_it():
    for order in (1, -1):
        book = WishBook(KEYS, trusting)
        book.feed(seen(*[member("node-c", 15), item(wish(Kind.DEAD, what="node-c"), 10)][::order], resync=True))
        assert book.dead(NOW_MS) == frozenset()


def test_the_same_word_put_into_its_key_again_is_no_new_one():
    book = WishBook(KEYS, trusting)
    said = wish(Kind.DEAD, what="node-c")
    book.feed(seen(item(said, 10), member("node-c", 15)))
    book.feed(seen(item(said, 20)))
    assert book.dead(NOW_MS) == frozenset()


def test_other_wishes_do_not_end_with_a_session():
    book = WishBook(KEYS, trusting)
    drained = wish(Kind.DRAIN, what="node-c")
    book.feed(seen(item(drained, 10), member("node-c", 15)))
    assert (book.in_force(NOW_MS), book.revived(NOW_MS)) == ((drained,), ())


def test_whether_a_wish_stands_is_compared_with_its_key():
    book = WishBook(KEYS, trusting)
    said, other = wish(Kind.DEAD, what="node-c"), wish(Kind.DEAD, what="node-c", sequence=2)
    book.feed(seen(item(said, 10)))
    assert book.stands(said, item(said, 10))
    assert not book.stands(said, item(other, 11))
    assert not book.stands(other, item(other, 11))
    assert not book.stands(said, None)


# -- rules


@pytest.mark.parametrize("kind", Kind)
def test_a_plain_wish_of_each_kind_is_without_fault(kind):
    assert fault_of(wish(kind)) == ""
    assert fault_of(wish(kind, on=False, until_ms=0)) == ""


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        (Kind.PARK, {"form": 2}, "newer"),
        (Kind.PARK, {"sequence": 0}, "number"),
        (Kind.PARK, {"made_ms": -1}, "number"),
        (Kind.PARK, {"reason": "x" * 513}, "too long"),
        (Kind.PARK, {"what": "x" * 321}, "too long"),
        (Kind.PARK, {"reason": "a\x1b[2J"}, "control"),
        (Kind.PARK, {"actor": ""}, "nobody"),
        (Kind.PARK, {"what": ""}, "of nothing"),
        (Kind.PAUSE, {"what": "x"}, "of something"),
        (Kind.PAUSE, {"until_ms": 0}, "needs an end"),
        (Kind.PAUSE, {"until_ms": NOW_MS + PAUSE_MAX_MS + 1}, "needs an end"),
        (Kind.MOVE, {"until_ms": NOW_MS + MOVE_MAX_MS + 1}, "needs an end"),
        (Kind.MOVE, {"to": ""}, "no node"),
        (Kind.PARK, {"until_ms": NOW_MS}, "before its beginning"),
    ],
)
def test_faults_are_told(kind, changes, says):
    assert says in fault_of(wish(kind, **changes))


def test_in_force_until_its_end_and_not_once_ended():
    timed = wish(until_ms=NOW_MS + 1000)
    assert timed.in_force(NOW_MS + 999)
    assert not timed.in_force(NOW_MS + 1000)
    assert not wish(Kind.PARK, on=False).in_force(NOW_MS)


# -- the book


def test_what_each_daemon_asks():
    book = WishBook(KEYS, trusting)
    book.feed(
        seen(
            item(wish(Kind.PAUSE)),
            item(wish(Kind.MOVE, what="smtp-dc1")),
            item(wish(Kind.DRAIN, what="node-b")),
            item(wish(Kind.DEAD, what="node-c")),
            item(wish(Kind.DEAD, what="node-d", until_ms=NOW_MS + 60_000)),
            item(wish(Kind.PARK, what="account/t/a@x")),
            item(wish(Kind.HOLD, what="client/billing")),
        )
    )
    assert book.pause(NOW_MS)
    move = book.move("smtp-dc1", NOW_MS)
    assert move
    assert move.to == "node-b"
    assert book.drain("node-b", NOW_MS)
    assert book.drain("node-a", NOW_MS) is None
    assert book.dead(NOW_MS) == {"node-c", "node-d"}
    assert book.dead(NOW_MS + 60_000) == {"node-c"}
    assert book.park("account/t/a@x", NOW_MS)
    assert book.hold("client/billing", NOW_MS)
    assert book.hold("client/other", NOW_MS) is None
    assert len(book.in_force(NOW_MS)) == 7
    later = [each.kind for each in book.in_force(NOW_MS + 120_000)]
    assert later == [Kind.DEAD, Kind.DRAIN, Kind.HOLD, Kind.PARK]
    book.feed(seen(item(wish(Kind.DEAD, what="node-c", on=False, sequence=2), 2)))
    assert book.dead(NOW_MS) == {"node-d"}
    book.feed(seen(item(wish(Kind.HOLD, what=ALL))))
    assert book.hold("client/other", NOW_MS)


def test_newer_beats_older_and_an_older_one_put_back_is_ignored_and_said():
    book = WishBook(KEYS, trusting)
    first, end = wish(sequence=5), wish(sequence=6, on=False, until_ms=0)
    assert book.feed(seen(item(first))) == (first,)
    assert book.feed(seen(item(end, 2))) == (end,)
    assert book.feed(seen(item(first, 3))) == ()
    assert book.pause(NOW_MS) is None
    assert "put back" in book.faults["pause"]
    later = wish(sequence=7)
    assert book.feed(seen(item(later, 4))) == (later,)
    assert book.faults == {}


def test_an_old_wish_put_back_while_we_were_down_is_recognised_by_the_floors():
    book = WishBook(KEYS, trusting)
    book.feed(seen(item(wish(sequence=5, on=False, until_ms=0))))
    again = WishBook(KEYS, trusting, floors=book.floors)
    assert again.feed(seen(item(wish(sequence=4)), resync=True)) == ()
    assert again.pause(NOW_MS) is None


def test_a_key_that_is_gone_wishes_nothing_whether_deleted_or_missing_from_a_resync():
    book = WishBook(KEYS, trusting)
    paused = item(wish())
    book.feed(seen(paused))
    book.feed(Seen(changes=(Change(key=paused.key, item=None, revision=2),), revision=2))
    assert book.pause(NOW_MS) is None
    book.feed(seen(paused))
    assert book.pause(NOW_MS)
    book.feed(seen(resync=True))
    assert book.pause(NOW_MS) is None


def test_a_resync_of_what_is_known_is_no_news_and_verifies_nothing_twice():
    calls = []

    def counting(key, value):
        calls.append(key)
        return trusting(key, value)

    book = WishBook(KEYS, counting)
    for _ in range(3):
        book.feed(seen(item(wish()), resync=True))
    assert len(calls) == 1


def test_faulty_values_are_kept_apart_and_do_no_harm():
    def strict(key, value):
        try:
            return trusting(key, value)
        except msgspec.DecodeError as error:
            raise BadWish(str(error)) from None

    book = WishBook(KEYS, strict)
    book.feed(
        seen(
            item(wish(), value=b"\xff garbage"),
            item(wish(Kind.DRAIN, what="node-a"), name="drain/node-b"),
            item(wish(Kind.HOLD), value=b" " * (VALUE_MAX_BYTES + 1)),
            item(wish(Kind.MOVE, what="x", to="")),
        )
    )
    assert sorted(book.faults) == ["drain/node-b", "hold/thing", "move/x", "pause"]
    assert book.in_force(NOW_MS) == ()


def test_the_book_is_bounded_and_says_so():
    book = WishBook(KEYS, trusting)
    flood = [item(wish(Kind.PARK, what=f"s{number}")) for number in range(WISHES_MAX + 10)]
    book.feed(seen(*flood))
    assert len(book.in_force(NOW_MS)) == WISHES_MAX
    assert len(book.faults) == 10
    assert f"more than {WISHES_MAX}" in next(iter(book.faults.values()))


def test_names_that_come_and_go_for_ever_do_not_fill_the_memory():
    book = WishBook(KEYS, trusting)
    for number in range(3 * WISHES_MAX):
        book.feed(seen(item(wish(Kind.PARK, what=f"s{number}")), resync=True))
    assert len(book.floors) <= 2 * WISHES_MAX


def test_the_next_sequence_is_beyond_all_seen_and_by_the_clock_for_who_saw_none():
    book = WishBook(KEYS, trusting)
    assert book.next_sequence(Kind.PAUSE, "", NOW_MS) == NOW_MS
    book.feed(seen(item(wish(sequence=NOW_MS + 50))))
    assert book.next_sequence(Kind.PAUSE, "", NOW_MS) == NOW_MS + 51


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=20))
def test_whatever_the_order_the_highest_sequence_seen_counts_or_nothing(steps):
    book, highest = WishBook(KEYS, trusting), 0
    for revision, (sequence, on) in enumerate(steps):
        wanted = wish(Kind.PARK, sequence=sequence, on=on)
        book.feed(seen(item(wanted, revision)))
        held = book.get(Kind.PARK, "thing")
        assert held is None or held.sequence == max(highest, sequence)
        highest = max(highest, sequence)


# -- whose word


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_signed_wish_is_its_signers_word(kind):
    key = KEYS.control("pause")
    value = signer(kind=kind).sign(key, wish())
    assert len(value) < VALUE_MAX_BYTES
    assert verifier().verify(key, value) == wish()


def test_a_book_with_real_signatures():
    book = WishBook(KEYS, verifier().verify)
    key = KEYS.control("pause")
    assert book.feed(seen(item(wish(), value=signer().sign(key, wish())))) == (wish(),)
    book.feed(seen(item(wish(), 2, value=msgspec.json.encode(wish()))))
    assert book.pause(NOW_MS) is None
    assert book.faults["pause"]


def _altered(value: bytes, **changes) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(value), **changes})


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda key: b"\xff\xfe", "is no wish"),
        (lambda key: b"[" * 100_000, "is no wish"),
        (lambda key: b'{"form": 1}', "is no signed wish"),
        (lambda key: b'{"form": 9, "new": true}', "newer"),
        (lambda key: msgspec.json.encode(wish()), "is no signed wish"),
        (lambda key: _altered(signer().sign(key, wish()), wish="{}"), "no wish this version knows"),
        (
            lambda key: _altered(
                signer().sign(key, wish()), wish=msgspec.json.encode(wish(until_ms=NOW_MS + 9)).decode()
            ),
            "signature",
        ),
        (lambda key: signer().sign(KEYS.control("park/x"), wish()), "signature"),
        (lambda key: signer().sign(key, wish(node="node-b")), "not node 'node-b'"),
        (lambda key: _altered(signer().sign(key, wish()), certificate="-----BEGIN"), "cannot be read"),
        (lambda key: _altered(signer().sign(key, wish()), certificate="x" * 9000), "too long"),
        (lambda key: _altered(signer().sign(key, wish()), signature=""), "signature"),
    ],
)
def test_what_is_nobodys_word(make, says):
    key = KEYS.control("pause")
    with pytest.raises(BadWish, match=says):
        verifier().verify(key, make(key))


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        (lambda: leaf(identity(CLUSTER, "node-a"), ca="stranger"), "not from this cluster's authority"),
        (lambda: leaf(identity("other", "node-a")), "names relay://other/node-a"),
        (lambda: leaf(None), "names nobody"),
        (lambda: leaf(identity(CLUSTER, "node-a"), begin_days=-9, end_days=-1), "not valid"),
        (lambda: leaf(identity(CLUSTER, "node-a"), begin_days=1), "not valid"),
    ],
)
def test_certificates_that_give_no_voice(certificate, says):
    key = KEYS.control("pause")
    value = Signer(CLUSTER, *certificate()).sign(key, wish())
    with pytest.raises(BadWish, match=says):
        verifier().verify(key, value)


def test_an_authority_of_the_same_name_with_another_key_gives_no_voice():
    certificate, key_pem = leaf(identity(CLUSTER, "node-a"))
    authority.cache_clear()  # the next one of this name has another key
    key = KEYS.control("pause")
    with pytest.raises(BadWish, match="authority"):
        verifier().verify(key, Signer(CLUSTER, certificate, key_pem).sign(key, wish()))
    signer.cache_clear()


def test_a_wish_for_another_cluster_is_not_ours():
    key = KEYS.control("pause")
    other = Signer("other", *leaf(identity(CLUSTER, "node-a")))
    with pytest.raises(BadWish, match="signature"):
        verifier().verify(key, other.sign(key, wish()))


def test_taking_a_node_off_the_list_takes_back_its_word():
    key = KEYS.control("pause")
    value = signer().sign(key, wish())
    with pytest.raises(BadWish, match="list of nodes"):
        verifier("node-b", "node-c").verify(key, value)


def test_two_authorities_count_during_a_rotation():
    both = pem(authority("new")[0]) + pem(authority("corp")[0])
    check = Verifier(CLUSTER, both, lambda: ("node-a",))
    key = KEYS.control("pause")
    for name in ("new", "corp"):
        made = Signer(CLUSTER, *leaf(identity(CLUSTER, "node-a"), ca=name)).sign(key, wish())
        assert check.verify(key, made) == wish()


def test_unusable_key_files_are_refused_at_the_start():
    certificate, key = leaf(identity(CLUSTER, "node-a"))
    with pytest.raises(ValueError, match="cannot be read"):
        Signer(CLUSTER, b"nothing", key)
    with pytest.raises(ValueError, match="cannot be read"):
        Signer(CLUSTER, certificate, b"nothing")
    with pytest.raises(ValueError, match="does not belong"):
        Signer(CLUSTER, certificate, leaf(identity(CLUSTER, "node-a"), kind="rsa")[1])
    with pytest.raises(ValueError, match="no certificate authority"):
        Verifier(CLUSTER, certificate, lambda: ())
    assert "PRIVATE" not in repr(Signer(CLUSTER, certificate, key))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_bad_wish_and_nothing_else(data):
    with pytest.raises(BadWish):
        verifier().verify(KEYS.control("pause"), data)
