"""How pages of several nodes become one: nothing is passed over that one of them has not looked at yet."""

import pytest

from node.admin.everywhere import Place
from node.admin.history import before_of
from node.admin.queries import BadRequestError
from node.app import history
from node.app.answers import found_of
from node.app.history import Part, fitted, joined, merged
from node.spool.contract import MessageView
from node.spool.pages import Spot
from tests.support.spool_mail import T0, message


def found(name: str, at: int, node: str = "a", place: Place = Place.SPOOL):
    view = MessageView(message=message(name, received_ms=T0 + at), recipients=(), finished_ms=T0 + at)
    return found_of(view, node, place, None)


def spot(at: int, name: str) -> Spot:
    return Spot(received_ms=T0 + at, id=name)


def names(part) -> list[str]:
    return [each.message.id for each in part.messages]


def test_a_page_ends_where_the_first_node_ended():
    long = Part(messages=(found("m9", 9), found("m2", 2)))
    short = Part(messages=(found("m8", 8, "b"), found("m5", 5, "b")), looked_to=spot(5, "m5"))
    page = merged([long, short], 10, {"c": "away"})
    assert (names(page), page.next, page.missing) == (["m9", "m8", "m5"], f"{T0 + 5}.m5", {"c": "away"})
    assert before_of({"before": page.next}) == spot(5, "m5")


def test_a_node_that_looked_in_vain_says_how_far():
    page = merged([Part(messages=(), looked_to=spot(3, "x")), Part(messages=(found("m2", 2),))], 10, {})
    assert (names(page), page.next) == ([], f"{T0 + 3}.x")


def test_the_limit_cuts_and_the_page_goes_on_from_there():
    part = joined([Part(messages=(found("m3", 3), found("m1", 1))), Part(messages=(found("m2", 2, "b"),))], 2)
    assert (names(part), part.looked_to) == (["m3", "m2"], spot(2, "m2"))
    assert joined([Part(messages=(found("m1", 1),))], 1).looked_to is None


def test_a_message_of_two_nodes_is_shown_once_as_the_one_that_knows_it_best_has_it():
    past, own = found("m1", 1, "b", Place.PAST), found("m1", 1, "a")
    for parts in ([past, own], [own, past]):
        (one,) = joined([Part(messages=(each,)) for each in parts], 5).messages
        assert (one.node, one.place) == ("a", Place.SPOOL)


def test_an_answer_too_large_is_cut_and_goes_on_where_it_was(monkeypatch):
    monkeypatch.setattr(history, "_ROOM", 1_500)
    part = Part(messages=tuple(found(f"m{at}", at) for at in (4, 3, 2, 1)), looked_to=spot(0, "m0"))
    cut = fitted(part)
    assert 1 <= len(cut.messages) < 4
    assert cut.looked_to == history.spot(cut.messages[-1])
    monkeypatch.setattr(history, "_ROOM", 10)
    assert fitted(part) == Part(messages=(), looked_to=spot(0, "m0"))


@pytest.mark.parametrize("text", ["x", "1", "1.", ".m", "-1.m", "1.m\x00", "9" * 20 + ".m", "1." + "m" * 65])
def test_a_key_that_is_none_is_refused(text):
    with pytest.raises(BadRequestError, match="before: expected"):
        before_of({"before": text})
    assert before_of({}) is None
