"""``route explain --reply``: the row that decides, in words, and what becomes of the recipient."""

import json

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from node.cli.verdicts import BECOMES, HINTS, NARROWS, RESTS, conditions, cool_down, notes, outcome, reply_of
from node.policy.classify import Classifier
from node.policy.reply import Stage
from node.policy.table import TABLE
from node.policy.verdict import Hint, Narrow, Outcome, Scope
from tests.support.settings_files import TENANT, write


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No configuration lies here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELAY_CONFIG", raising=False)


def run(*arguments):
    return CliRunner().invoke(app, ["route", "explain", *map(str, arguments)], catch_exceptions=False)


def test_words_exist_for_every_kind():
    assert (set(BECOMES), set(RESTS), set(HINTS), set(NARROWS)) == (set(Outcome), set(Scope), set(Hint), set(Narrow))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.reason)
def test_every_example_of_the_table_can_be_typed_and_is_explained_by_its_row(row):
    for example in row.examples:
        reply = reply_of(example)
        stage = row.stages[0] if row.stages else Stage.DOT
        path = row.paths[0] if row.paths else "submission"
        assert Classifier().row(path, stage, reply).reason == row.reason, example
    assert conditions(row) != "any reply"
    assert cool_down(row)
    assert outcome(row)
    assert isinstance(notes(row), tuple)


@pytest.mark.parametrize(
    ("text", "code", "enhanced", "words"),
    [
        ("550 5.7.64 TenantAttribution; Relay Access Denied", 550, "5.7.64", "TenantAttribution; Relay Access Denied"),
        ("550-5.1.1 one\\n550 5.1.1 two", 550, "5.1.1", "one two"),
        ("550-5.1.1 one\n550 5.1.1 two", 550, "5.1.1", "one two"),
        ("421", 421, "", ""),
        ("0 timeout", 0, "", "timeout"),
        ("550 \x1b[31mred", 550, "", "?[31mred"),
    ],
)
def test_replies_are_read_as_worded(text, code, enhanced, words):
    reply = reply_of(text)
    assert (reply.code, reply.enhanced, reply.text) == (code, enhanced, words)


@pytest.mark.parametrize("text", ["hello", "", " ", "55 x", "5500 x", "550x", "550 one\ntwo", "٥٥٠ x"])
def test_what_is_no_reply_is_refused_with_the_form_expected(text):
    with pytest.raises(ValueError, match="expected three digits and a text"):
        reply_of(text)


def test_verdict_row_source_cool_down_and_recipient():
    shown = run("--reply", "550 5.7.64 TenantAttribution; Relay Access Denied").stdout
    for piece in ("connector_not_matched", "m365 §4.7 row 1", "15m, 1h", "deferred; another account or path"):
        assert piece in shown
    facts = json.loads(run("--reply", "550 5.7.64 x", "--json").stdout)
    assert (facts["scope"], facts["outcome"], facts["configured"]) == ("path_site", "switch", False)


def test_stage_path_and_history_count():
    def outcome_of(*more):
        return json.loads(run("--reply", "550 no", "--json", *more).stdout)["outcome"]

    assert outcome_of("--stage", "rcpt") == "bounce"
    assert outcome_of("--stage", "dot") == "switch"
    assert outcome_of("--stage", "dot", "--attempts", 1) == "bounce"
    assert outcome_of("--stage", "auth") == "switch"
    lost = json.loads(run("--reply", "0 timeout", "--json").stdout)
    assert (lost["reason"], lost["outcome"]) == ("answer_lost", "unknown")


def test_rows_of_the_configuration_come_first(tmp_path):
    rule = "replies: [{reason: ours, text: [our words], scope: message, outcome: hold, rest: [5m]}]\n"
    path = write(tmp_path, TENANT + rule)
    facts = json.loads(run("--reply", "550 our Words", "--config", path, "--json").stdout)
    assert (facts["reason"], facts["outcome"], facts["source"], facts["configured"]) == (
        "ours",
        "hold",
        "configuration",
        True,
    )
    assert "held until a person releases it" in run("--reply", "550 our words").stdout  # found in this directory


def test_a_configuration_that_cannot_be_read_is_exit_2(tmp_path):
    found = run("--reply", "550 x", "--config", tmp_path / "none.yaml")
    assert found.exit_code == 2
    assert "none.yaml" in found.stderr
