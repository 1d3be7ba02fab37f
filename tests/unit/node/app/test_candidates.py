"""Who could keep copies, when some took none lately."""

from coordinator.ownership.peers import Candidate, choose
from node.app.candidates import others_first


def at(node: str, *, healthy: bool = True) -> Candidate:
    return Candidate(node=node, spool=f"disk of {node}", healthy=healthy)


ALL = (at("a"), at("b"), at("c"))


def chosen(shunned: dict[str, float], *, current: str = "", found=ALL) -> str:
    left = others_first(found, "a", lambda node: shunned.get(node, 0.0))
    one = choose(left, node="a", spool="disk of a", site="", current=current)
    return one.node if one is not None else ""


def test_another_comes_before_one_that_took_none():
    assert chosen({}) == chosen({"c": 9.0}, current="c") == "b"
    assert chosen({"b": 9.0}, current="b") == "c"


def test_of_two_that_took_none_the_one_of_longer_ago_is_asked():
    assert chosen({"b": 9.0, "c": 30.0}, current="c") == "b"
    assert chosen({"b": 30.0, "c": 9.0}, current="b") == "c"


def test_the_only_one_there_is_asked_even_so():
    assert chosen({"b": 9.0}, found=(at("a"), at("b"))) == "b"
    assert chosen({"b": 9.0}, found=(at("a"), at("b"), at("c", healthy=False))) == "b"
    assert chosen({}, found=(at("a"), at("c", healthy=False))) == ""
