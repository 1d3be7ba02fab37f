"""The reply table, row by row: an example is judged by the very row it stands in, on each path and stage named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.classify import Classifier
from node.policy.reply import Reply, Stage, reply_from
from node.policy.table import TABLE
from node.policy.table.defaults import DEFAULTS
from node.policy.table.row import ANY_M365, BEFORE_MAIL, Row
from node.policy.verdict import Outcome

CLASSIFIER = Classifier()
CASES = [
    pytest.param(row, example, id=f"{row.reason}-{number}")
    for row in TABLE
    for number, example in enumerate(row.examples)
]
TYPICAL = {4: (Stage.RCPT, Stage.DOT), 5: (Stage.MAIL, Stage.DOT, Stage.NDR)}


def said(line: str) -> Reply:
    code, _, rest = line.partition(" ")
    return reply_from(int(code), rest)


def stages_of(row: Row, reply: Reply):
    return row.stages or TYPICAL[reply.code // 100]


@pytest.mark.parametrize(("row", "example"), CASES)
def test_an_example_is_judged_by_its_own_row(row, example):
    reply = said(example)
    for stage in stages_of(row, reply):
        for path in row.paths or ("submission",):
            assert CLASSIFIER.match(path, stage, reply) is row, (stage, path)


@pytest.mark.parametrize(("row", "example"), CASES)
def test_brackets_case_and_line_breaks_do_not_matter(row, example):
    reply = said(example)
    shouted = reply_from(
        reply.code, f"{reply.enhanced} {reply.text.upper()} [HOST.PROD 2026-11-23T10:00:00Z 08DC]".strip()
    )
    stage, path = stages_of(row, reply)[0], (row.paths or ("submission",))[0]
    assert CLASSIFIER.match(path, stage, shouted) is row


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_every_enhanced_code_of_a_row_has_an_example_or_one_for_all(row):
    shown = {said(example).enhanced for example in row.examples}
    for pattern in row.enhanced:
        if "-" not in pattern:
            sample = said(row.examples[0])
            reply = Reply(code=sample.code, enhanced=pattern, text=sample.text)
            stage, path = stages_of(row, reply)[0], (row.paths or ("submission",))[0]
            assert pattern in shown or CLASSIFIER.match(path, stage, reply) is row, pattern


def test_reasons_are_unique_snake_case_words():
    reasons = [row.reason for row in TABLE]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{2,40}", reason) for reason in reasons)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_every_row_is_sound(row):
    assert row.examples
    assert re.match(r"(m365 §\d|operations §\d)", row.source)
    assert all(piece == piece.lower() for piece in (*row.text, *row.any_text))
    assert not (row.park and row.schedule)
    assert not row.spins
    waits = row.outcome in (Outcome.RETRY, Outcome.SWITCH)
    assert bool(row.schedule) == (waits and not row.park)
    assert row.outcome is not Outcome.DELIVERED


SECTIONS = {2: 15, 3: 16, 4: 12, 5: 12, 6: 7, 7: 12, 8: 5, 9: 8}
"""Rows of each section of the facts, counted there."""


@pytest.mark.parametrize(("section", "rows"), SECTIONS.items())
def test_every_row_of_the_facts_is_covered(section, rows):
    named = {int(number) for row in TABLE for number in re.findall(rf"§4\.{section} row (\d+)", row.source)}
    assert named >= set(range(1, rows + 1))


LINES = st.builds(
    lambda code, enhanced, words: reply_from(code, f"{enhanced} {words}".strip()),
    st.integers(400, 599),
    st.one_of(st.just(""), st.sampled_from(sorted({e for row in TABLE for e in row.enhanced if "-" not in e}))),
    st.lists(st.sampled_from([*sorted({p for row in TABLE for p in (*row.text, *row.any_text)}), "x"]), max_size=3).map(
        " ".join
    ),
)


@given(LINES, st.sampled_from(sorted(BEFORE_MAIL)), st.sampled_from([*ANY_M365, "smarthost"]))
def test_no_refusal_before_mail_ever_bounces(reply, stage, path):
    for last in ("", CLASSIFIER.classify(path, stage, reply).reason):
        verdict = CLASSIFIER.classify(path, stage, reply, last_reason=last, attempts=99)
        assert verdict.outcome not in (Outcome.BOUNCE, Outcome.DELIVERED)


@given(LINES, st.sampled_from(list(Stage)), st.sampled_from([*ANY_M365, "smarthost"]))
def test_530_never_bounces(reply, stage, path):
    if stage is Stage.NDR:
        return
    asked = Reply(code=530, enhanced=reply.enhanced, text=reply.text)
    for last in ("", CLASSIFIER.classify(path, stage, asked).reason):
        assert CLASSIFIER.classify(path, stage, asked, last_reason=last, attempts=9).outcome is not Outcome.BOUNCE


@given(LINES, st.sampled_from(list(Stage)), st.sampled_from([*ANY_M365, "smarthost"]))
def test_every_refusal_gets_a_verdict_that_delivers_nothing(reply, stage, path):
    verdict = CLASSIFIER.classify(path, stage, reply)
    assert verdict.outcome is not Outcome.DELIVERED
    assert verdict.reason


def test_defaults_cover_every_stage_and_class():
    bare = Classifier(rows=())
    for stage in Stage:
        for code in (450, 550):
            assert bare.classify("submission", stage, Reply(code=code)).reason.startswith("unclassified_")
    assert all(row.source == "m365 §4.10" and not row.spins for row in DEFAULTS)
