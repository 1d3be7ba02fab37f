"""Who joins at which level, and when a newer one may be finalised: tables over versions, levels and the others."""

import pytest

from coordinator.versions.decide import Decision, Fit, Said, Step, born, decide, fit, meanwhile, refusal
from coordinator.versions.release import RELEASE, Level, Release


def release(oldest, newest, version=""):
    levels = tuple(Level(number=number, protocol=10 * number) for number in range(oldest, newest + 1))
    return Release(version=version or f"0.{newest}.0", levels=levels)


@pytest.mark.parametrize(
    ("own", "in_force", "found"),
    [
        ((1, 1), 1, Fit.FITS),
        ((1, 2), 1, Fit.FITS),
        ((1, 2), 2, Fit.FITS),
        ((2, 3), 2, Fit.FITS),
        ((1, 1), 2, Fit.BEHIND),
        ((1, 2), 3, Fit.BEHIND),
        ((2, 3), 1, Fit.AHEAD),
        ((3, 4), 1, Fit.AHEAD),
    ],
)
def test_who_joins(own, in_force, found):
    assert fit(release(*own), in_force) is found
    assert bool(refusal(release(*own), in_force)) is (found is not Fit.FITS)


def test_a_refusal_says_both_versions_and_what_to_do():
    assert refusal(release(1, 1, "0.1.0"), 2, "finalised by alice") == (
        "level 2 is in force (finalised by alice), version 0.1.0 knows level 1 only: it is too old for this cluster; "
        "start a version that knows level 2"
    )
    assert refusal(release(2, 3, "0.3.0"), 1) == (
        "level 1 is in force, version 0.3.0 knows levels 2 to 3: a version was left out. Start one that knows level 1, "
        "run `relayctl cluster finalise` with it, then upgrade again"
    )


@pytest.mark.parametrize(
    ("own", "remembered", "empty", "level"),
    [
        ((1, 1), 0, True, 1),
        ((1, 2), 0, True, 2),
        ((2, 3), 0, True, 3),
        ((1, 2), 0, False, 1),
        ((2, 3), 0, False, 1),
        ((1, 2), 1, True, 1),
        ((1, 2), 2, False, 2),
        ((2, 3), 1, True, 1),
    ],
)
def test_the_level_of_a_cluster_that_names_none(own, remembered, empty, level):
    assert born(release(*own), remembered=remembered, empty=empty) == level


@pytest.mark.parametrize(("own", "remembered", "level"), [((1, 2), 0, 1), ((1, 2), 2, 2), ((2, 3), 1, 1)])
def test_the_level_while_the_store_is_silent(own, remembered, level):
    assert meanwhile(release(*own), remembered) == level


def said(*levels, role="node", node="relay-b", version="0.1.0", why=""):
    return Said(role=role, node=node, version=version, levels=levels or None, why=why)


OLD, NEW = said(1, 1), said(1, 2, version="0.2.0")
WAITING = said(1, 1, role="coordinator", node="relay-c")
GONE = Said(role="coordinator", node="relay-c", why="has no session")


@pytest.mark.parametrize(
    ("own", "in_force", "others", "step", "level", "hindrances"),
    [
        ((1, 1), 1, [OLD], Step.DONE, 1, ()),
        ((1, 1), 1, [GONE], Step.DONE, 1, ()),
        ((1, 2), 2, [NEW, GONE], Step.DONE, 2, ()),
        ((1, 2), 1, [NEW, NEW], Step.ALLOWED, 2, ()),
        ((1, 2), 1, [], Step.ALLOWED, 2, ()),
        ((1, 3), 1, [said(1, 3)], Step.ALLOWED, 3, ()),
        ((1, 2), 1, [NEW, said(2, 3)], Step.ALLOWED, 2, ()),
        ((1, 2), 1, [NEW, OLD], Step.REFUSED, 2, ("node relay-b (version 0.1.0) knows level 1 only",)),
        ((1, 2), 1, [NEW, GONE], Step.REFUSED, 2, ("coordinator relay-c has no session",)),
        (
            (1, 2), 1, [OLD, WAITING, said(1, 2, why="does not answer: cut")], Step.REFUSED, 2,
            (
                "node relay-b (version 0.1.0) knows level 1 only",
                "coordinator relay-c (version 0.1.0) knows level 1 only",
                "node relay-b (version 0.1.0) does not answer: cut",
            ),
        ),
        ((1, 2), 1, [said()], Step.REFUSED, 2, ("node relay-b (version 0.1.0) does not say which levels it knows",)),
        ((1, 2), 1, [said(3, 4)], Step.REFUSED, 2, ("node relay-b (version 0.1.0) knows levels 3 to 4",)),
    ],
)  # fmt: skip
def test_when_a_level_may_be_finalised(own, in_force, others, step, level, hindrances):
    found = decide(release(*own), in_force, others)
    assert found == Decision(step=step, level=level, hindrances=hindrances)


def test_protocols_belong_to_levels():
    known = release(2, 3)
    assert (known.span, known.protocols) == ((2, 3), (20, 30))
    assert [known.protocol(level) for level in (1, 2, 3, 4)] == [20, 20, 30, 30]


def test_this_version_knows_at_most_one_level_beside_the_newest_and_none_is_left_out():
    numbers = [each.number for each in RELEASE.levels]
    assert numbers == list(range(RELEASE.oldest, RELEASE.newest + 1))
    assert len(numbers) <= 2
    assert [each.protocol for each in RELEASE.levels] == sorted(each.protocol for each in RELEASE.levels)
