"""How long a node is passed over."""

from node.shadow.shunned import AFTER_S, FOR_S, Shunned


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_failing_for_a_while_lets_others_come_first_for_a_while():
    clock = Clock()
    shunned = Shunned(clock)
    assert not shunned.failed("b")
    clock.now_s += AFTER_S / 2
    assert not shunned.failed("b")
    assert not shunned.until_s("b")
    clock.now_s += AFTER_S / 2
    assert shunned.failed("b")
    assert shunned.until_s("b") == clock.now_s + FOR_S
    assert not shunned.until_s("c")
    clock.now_s += FOR_S
    assert "b" not in shunned
    assert not shunned.until_s("b")


def test_failing_again_prolongs_it_but_not_at_once():
    clock = Clock()
    shunned = Shunned(clock)
    shunned.failed("b")
    clock.now_s += AFTER_S
    assert shunned.failed("b")
    before_s = shunned.until_s("b")
    assert not shunned.failed("b")
    clock.now_s += AFTER_S
    assert shunned.failed("b")
    assert shunned.until_s("b") == before_s + AFTER_S


def test_one_that_takes_copies_again_is_no_worse_than_others():
    clock = Clock()
    shunned = Shunned(clock)
    shunned.failed("b")
    clock.now_s += AFTER_S
    assert shunned.failed("b")
    shunned.worked("b")
    assert "b" in shunned, "an answer is no copy"
    shunned.took("b")
    assert "b" not in shunned
    assert not shunned.until_s("b")


def test_one_that_works_again_is_given_time_again():
    clock = Clock()
    shunned = Shunned(clock)
    shunned.failed("b")
    shunned.worked("b")
    clock.now_s += AFTER_S
    assert not shunned.failed("b")
