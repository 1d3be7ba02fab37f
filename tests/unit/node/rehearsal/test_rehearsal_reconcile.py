"""Promises against arrivals."""

from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry, LedgerWriter, read_ledger
from node.rehearsal.load.reconcile import Arrival, Kept, reconcile
from node.rehearsal.load.sources import read_arrivals, read_kept


def entry(message, result=Result.ACCEPTED, attempt=1, recipients=("a@x.org",)):
    return Entry(id=message, attempt=attempt, result=result, at_ms=1, queue_id=f"q-{message}", recipients=recipients)


def arrival(message, unanswered=0, **counts):
    return Arrival(
        id=message, recipients={f"{name}@x.org": count for name, count in counts.items()}, unanswered=unanswered
    )


def test_everything_arrived():
    result = reconcile(
        [entry("m1"), entry("m2", recipients=("a@x.org", "b@x.org"))], [arrival("m1", a=1), arrival("m2", a=1, b=1)]
    )
    assert (result.accepted_messages, result.accepted, result.delivered) == (2, 3, 3)
    assert (result.lost, result.duplicated, result.extra) == ([], [], [])


def test_lost_unless_the_relay_still_has_it():
    ledger = [entry("m1"), entry("m2"), entry("m3")]
    result = reconcile(ledger, [], kept=[Kept(id="q-m2"), Kept(id="m3", state="held", recipient="A@x.org")])
    assert [one.id for one in result.lost] == ["m1"]
    assert result.kept == {"queued": 1, "held": 1}


def test_only_promised_recipients_count():
    result = reconcile([entry("m1", recipients=("a@x.org",))], [arrival("m1", a=1, b=1)])
    assert [one.recipient for one in result.extra] == ["b@x.org"]
    assert not result.lost


def test_duplicates_are_listed_and_explained_by_unknown_outcomes():
    ledger = [entry("m1", Result.UNKNOWN, 1), entry("m1", Result.ACCEPTED, 2), entry("m2"), entry("m3"), entry("m4")]
    arrivals = [arrival("m1", a=2), arrival("m2", a=2), arrival("m3", unanswered=1, a=2), arrival("m4", a=2)]
    result = reconcile(ledger, arrivals, unknown=["q-m4"])
    assert {one.id: one.explained for one in result.duplicated} == {"m1": 1, "m2": 0, "m3": 1, "m4": 1}
    assert result.unexplained == 1
    assert [try_.result for try_ in result.duplicated[0].attempts] == [Result.UNKNOWN, Result.ACCEPTED]


def test_taken_without_an_answer_is_extra_but_unconfirmed():
    result = reconcile([entry("m1", Result.UNKNOWN)], [arrival("m1", a=1), arrival("stranger", a=1)])
    assert {one.id: one.unconfirmed for one in result.extra} == {"m1": True, "stranger": False}
    assert not result.lost


def test_refused_messages_were_never_promised():
    result = reconcile([entry("m1", Result.REFUSED), entry("m2", Result.DEFERRED)], [])
    assert result.accepted == 0
    assert not result.lost


def test_a_torn_last_line_is_not_an_entry(tmp_path):
    path = tmp_path / "ledger"
    with LedgerWriter(path) as writer:
        writer.write(entry("m1"))
    with path.open("ab") as file:
        file.write(b'{"id": "m2", "att')
    assert [one.id for one in read_ledger(path)] == ["m1"]


def test_what_the_relay_keeps_is_read_in_several_forms(tmp_path):
    path = tmp_path / "kept"
    path.write_text('{"id": "q1", "state": "held"}\nq2\n')
    assert list(read_kept(path)) == [Kept(id="q1", state="held"), Kept(id="q2")]
    path.write_text('[{"id": "q3", "recipients": [{"address": "a@x.org", "state": "deferred"}, "b@x.org"]}]')
    assert list(read_kept(path)) == [
        Kept(id="q3", state="deferred", recipient="a@x.org"),
        Kept(id="q3", state="queued", recipient="b@x.org"),
    ]


def test_a_report_and_lines_read_alike(tmp_path):
    lines, report = tmp_path / "lines", tmp_path / "report"
    lines.write_text('{"id": "m1", "recipients": {"a@x.org": 1}, "unanswered": 0}\n')
    report.write_text('{"messages": {}, "deliveries": [{"id": "m1", "recipients": {"a@x.org": 1}}]}')
    assert read_arrivals(str(lines)) == read_arrivals(str(report)) == [arrival("m1", a=1)]
