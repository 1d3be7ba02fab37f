"""Whose slot it is that was given up as the store fell silent: all must say in one round that they have it not."""

from node.cluster.limbo import ROUNDS_MAX, Limbo

BC = frozenset({"b", "c"})


def test_all_words_of_one_round_give_it_back_once():
    limbo = Limbo()
    limbo.asked(1, ["x/0", "x/1"])
    assert limbo.told(1, "b", ["x/0", "x/1"], BC) == []
    assert limbo.told(1, "c", ["x/1"], BC) == ["x/1"]
    assert limbo.told(1, "c", ["x/1"], BC) == []


def test_words_of_two_rounds_do_not_add_up():
    limbo = Limbo()
    limbo.asked(1, ["x/0"])
    limbo.asked(2, ["x/0"])
    assert limbo.told(1, "b", ["x/0"], BC) == []
    assert limbo.told(2, "c", ["x/0"], BC) == []
    assert limbo.told(2, "b", ["x/0"], BC) == ["x/0"]


def test_no_word_of_before_an_end_counts_nor_one_about_what_was_not_asked():
    limbo = Limbo()
    limbo.asked(1, ["x/0"])
    limbo.told(1, "b", ["x/0"], BC)
    limbo.ended()
    assert limbo.told(1, "c", ["x/0"], BC) == []
    limbo.asked(2, ["x/0"])
    limbo.told(2, "b", ["y/0"], BC)
    assert limbo.told(2, "c", ["y/0"], BC) == []


def test_rounds_are_bounded():
    limbo = Limbo()
    for sent_ms in range(ROUNDS_MAX + 5):
        limbo.asked(sent_ms, ["x/0"])
    assert len(limbo._rounds) == ROUNDS_MAX
