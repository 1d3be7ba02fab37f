"""What ownership asks of operators' wishes: whether it is paused, and who is declared dead."""

from types import SimpleNamespace

import pytest

from coordinator.wishes import Kind
from node.app.protection import Protection
from tests.support.wishes import NOW_MS, wish
from tests.unit.coordinator.test_wishes import KEYS, WishBook, item, seen, trusting


@pytest.fixture
def asked(monkeypatch):
    """The hooks of second copies whose disk is never touched, on a book of wishes; gives both."""
    monkeypatch.setattr("node.app.protection.wall_ms", lambda: NOW_MS)
    book = WishBook(KEYS, trusting)
    parts = object.__new__(Protection)
    parts._around = SimpleNamespace(wishes=SimpleNamespace(book=book))
    return parts._hooks(), book


def test_who_is_declared_dead_is_told_until_the_wish_ends(asked):
    hooks, book = asked
    assert hooks.dead() == frozenset()
    book.feed(seen(item(wish(Kind.DEAD, what="relay-a"))))
    assert hooks.dead() == {"relay-a"}
    book.feed(seen(item(wish(Kind.DEAD, what="relay-a", on=False, sequence=2), 2)))
    assert hooks.dead() == frozenset()


def test_a_pause_is_told(asked):
    hooks, book = asked
    assert not hooks.paused()
    book.feed(seen(item(wish(Kind.PAUSE))))
    assert hooks.paused()
