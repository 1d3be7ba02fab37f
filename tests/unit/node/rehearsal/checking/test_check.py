"""The checker finds planted faults in recorded histories, and none in histories that are sound."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from node.rehearsal.checking.check import check
from node.rehearsal.checking.files import HistoryWriter, read_history
from node.rehearsal.checking.limits import judge, read
from node.rehearsal.checking.records import Begun, Ended, Fault, Gone, History, Kept, Limit, Login, Unknown
from node.rehearsal.commands import rehearse_app
from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry
from node.rehearsal.simulator.windows import WindowMeter

ACCOUNT, TENANT = "relay1@contoso.com", "8f2c"
LIMITS = [
    Limit(at_ms=0, scope=ACCOUNT, measure="starts", amount=30, window_s=60),
    Limit(at_ms=0, scope=ACCOUNT, measure="sessions", amount=3),
    Limit(at_ms=0, scope=ACCOUNT, measure="recipients", amount=10_000, window_s=86_400),
    Limit(at_ms=0, scope=f"tenant/{TENANT}", measure="external", amount=100, window_s=86_400),
]
A, B = "127.0.0.11", "127.0.0.12"


class Story:
    """A ledger and a history, told in order."""

    def __init__(self):
        self.ledger, self.history, self.number = [], [History(at_ms=0, by="simulator"), *LIMITS], 0

    def promised(self, name, at_ms, *, to=("a@example.com",), result=Result.ACCEPTED, attempt=1, took_ms=5):
        reply = "2.0.0 queued" if result is Result.ACCEPTED else "4.3.2 later"
        self.ledger.append(
            Entry(
                id=name, attempt=attempt, result=result, at_ms=at_ms, reply=reply, queue_id=f"q-{name}",
                recipients=to, took_ms=took_ms,
            )
        )  # fmt: skip
        return self

    def delivered(
        self, name, at_ms, *, to=("a@example.com",), took_ms=300, answered=True, taken=True, peer=A, counted=True
    ):
        self.number += 1
        self.history += [
            Begun(
                at_ms=at_ms - took_ms, operation=self.number, scope=ACCOUNT, tenant=TENANT,
                peer=f"{peer}:4000" if peer else "",
            ),
            Ended(
                at_ms=at_ms, operation=self.number, counted=counted, taken=taken, answered=answered, id=name,
                recipients=to, external=len(to),
            ),
        ]  # fmt: skip
        return self

    def records(self):
        first, *rest = self.history
        return [first, *sorted(rest, key=lambda one: one.at_ms)]

    def check(self, *others):
        return check(self.ledger, self.records(), others)


def sound(messages=20, gap_ms=2_500):
    """Mail that arrives as it should, one message after the other."""
    story = Story()
    for number in range(messages):
        story.promised(f"m{number}", 1_000 + number * gap_ms)
        story.delivered(f"m{number}", 1_800 + number * gap_ms)
    return story


def found(verdict):
    return {(one.invariant, one.what) for one in verdict.violations}


def test_a_sound_history_holds():
    verdict = sound().check()
    assert verdict.holds
    assert (verdict.accepted, verdict.delivered, verdict.lost, verdict.overshoot) == (20, 20, 0, 0)
    assert verdict.worst[ACCOUNT]["starts/60s"] == 20


def test_a_dropped_message_is_found_with_its_promise():
    story = sound()
    story.promised("gone", 60_000)
    verdict = story.check()
    assert found(verdict) == {("I1", "lost")}
    assert verdict.lost == 1
    assert "gone" in verdict.violations[0].subject
    assert "accepted '2.0.0 queued' q-gone" in verdict.violations[0].evidence[0]


@pytest.mark.parametrize(
    ("kept", "lost"),
    [
        (Kept(at_ms=0, id="q-gone"), 0),
        (Kept(at_ms=0, id="gone", recipient="A@example.com"), 0),
        (Kept(at_ms=0, id="q-gone", recipient="other@example.com"), 1),
        (Kept(at_ms=0, id="q-m1"), 1),
    ],
)
def test_what_the_relay_still_has_is_not_lost(kept, lost):
    story = sound()
    story.promised("gone", 60_000)
    assert story.check(kept).lost == lost


def test_one_recipient_of_several_may_be_lost():
    story = sound().promised("two", 60_000, to=("a@example.com", "b@example.com"))
    story.delivered("two", 60_900)
    verdict = story.check()
    assert [one.subject for one in verdict.violations] == ["two b@example.com"]


def test_a_fourth_session_is_found():
    story = sound()
    story.history += [Login(at_ms=60_000 + n, scope=ACCOUNT, session=n, peer=f"{A}:{n}") for n in range(1, 5)]
    story.history += [Gone(at_ms=61_000 + n, scope=ACCOUNT, session=n) for n in range(1, 5)]
    verdict = story.check()
    assert found(verdict) == {("I2", "sessions")}
    assert verdict.overshoot == 1
    assert len(verdict.violations[0].evidence) == 4


def test_three_sessions_one_after_another_are_none():
    story = sound()
    for n in range(1, 9):  # never more than three at once
        story.history.append(Login(at_ms=60_000 + n * 100, scope=ACCOUNT, session=n, peer=A))
        story.history.append(Gone(at_ms=60_000 + n * 100 + 299, scope=ACCOUNT, session=n))
    verdict = story.check()
    assert verdict.holds
    assert verdict.worst[ACCOUNT]["sessions"] == 3


def test_a_session_that_never_ends_counts_to_the_end():
    story = sound()
    story.history += [Login(at_ms=60_000, scope=ACCOUNT, session=n, peer=A) for n in range(1, 4)]
    story.history += [Login(at_ms=900_000, scope=ACCOUNT, session=4, peer=B)]
    assert found(story.check()) == {("I2", "sessions")}


def test_a_31st_start_is_found():
    story = Story()
    for number in range(31):
        story.promised(f"m{number}", 1_000 + number).delivered(f"m{number}", 2_000 + number * 1_000)
    verdict = story.check()
    assert found(verdict) == {("I2", "starts")}
    assert "31 starts in 60 s where 30 are allowed" in verdict.violations[0].text
    assert any("m30" in line for line in verdict.violations[0].evidence)


def test_a_start_that_may_have_been_counted_at_its_reply_is_found():
    # 30 begin, and end, within a minute; the 31st begins 60 s after the first began but within 60 s of its reply.
    story = Story()
    story.promised("slow", 500).delivered("slow", 20_000, took_ms=19_000)
    for number in range(29):
        story.promised(f"m{number}", 500).delivered(f"m{number}", 21_000 + number * 1_000)
    story.promised("late", 500).delivered("late", 62_000, took_ms=100)
    assert found(story.check()) == {("I2", "starts")}


@pytest.mark.parametrize(("after_ms", "expected"), [(59_999, {("I2", "starts")}), (60_000, set())])
def test_a_window_is_sixty_seconds_to_the_millisecond(after_ms, expected):
    story = Story()
    for number in range(30):
        story.promised(f"m{number}", 500).delivered(f"m{number}", 10_000 + number, took_ms=1)
    story.promised("late", 500).delivered("late", 10_000 + after_ms + 1, took_ms=1)
    assert found(story.check()) == expected


def test_a_refused_message_counts_and_one_that_broke_off_before_data_does_not():
    for counted, expected in ((True, {("I2", "starts")}), (False, set())):
        story = Story()
        for number in range(30):
            story.promised(f"m{number}", 1_000).delivered(f"m{number}", 2_000 + number * 1_000)
        story.delivered("", 40_000, taken=False, counted=counted, to=())
        assert found(story.check()) == expected


def test_too_many_recipients_in_a_day_are_found():
    story = Story()
    for number in range(3):
        everybody = tuple(f"p{number}-{n}@contoso.com" for n in range(4_000))
        story.promised(f"m{number}", 1_000, to=everybody)
        story.delivered(f"m{number}", 5_000_000 * (number + 1), to=everybody)
    story.history = [one if not isinstance(one, Ended) else msgspec.structs.replace(one, external=0)
                     for one in story.history]  # fmt: skip
    verdict = story.check()
    assert found(verdict) == {("I2", "recipients")}
    assert verdict.overshoot == 2_000


def test_a_tenants_external_recipients_are_counted_over_its_accounts():
    story = Story()
    for number in range(2):
        many = tuple(f"p{number}-{n}@example.com" for n in range(60))
        story.promised(f"m{number}", 1_000, to=many).delivered(f"m{number}", 2_000 + number, to=many)
    assert found(story.check()) == {("I2", "external")}


def test_a_silent_duplicate_is_found():
    story = sound()
    story.delivered("m3", 70_000)
    verdict = story.check()
    assert found(verdict) == {("I5", "silent duplicate")}
    assert len(verdict.violations[0].evidence) == 3


def test_a_duplicate_after_a_lost_answer_is_explained_once():
    story = sound().promised("again", 60_000)
    story.delivered("again", 61_000, answered=False).delivered("again", 65_000, peer=B)
    verdict = story.check(Unknown(at_ms=0, id="q-again"))
    assert verdict.holds
    assert [(one.why, one.listed) for one in verdict.duplicates] == [("the upstream's answer was lost", True)]
    story.delivered("again", 66_000, peer=B)
    assert found(story.check()) == {("I5", "silent duplicate")}


def test_an_answer_lost_later_does_not_explain_an_earlier_repetition():
    story = sound().promised("again", 60_000)
    story.delivered("again", 61_000).delivered("again", 65_000, answered=False)
    assert found(story.check()) == {("I5", "silent duplicate")}


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ({"at_ms": 61_400, "until_ms": 75_000, "source": A}, True),
        ({"at_ms": 60_500, "until_ms": 75_000, "source": A}, True),
        ({"at_ms": 61_400, "until_ms": 75_000, "source": ""}, True),
        ({"at_ms": 61_400, "until_ms": 75_000, "source": B}, False),  # another machine
        ({"at_ms": 63_500, "until_ms": 75_000, "source": A}, False),  # it had time to tell
        ({"at_ms": 50_000, "until_ms": 60_000, "source": A}, False),  # it was over
        ({"at_ms": 61_400, "until_ms": 75_000, "source": A, "silences": False}, False),
    ],
)
def test_a_lost_machine_explains_what_it_could_not_tell(fault, holds):
    story = sound().promised("again", 60_000)
    story.delivered("again", 61_000, peer=A).delivered("again", 72_000, peer=B)
    verdict = story.check(Fault(**{"kind": "kill", "node": "relay-a", "silences": True, **fault}))
    assert verdict.holds is holds


@pytest.mark.parametrize(
    ("others", "holds"),
    [
        ([], False),  # any fault of the moment would excuse any repetition
        ([Unknown(at_ms=0, id="q-again", node="relay-b")], True),  # whoever took the mail over was in doubt about it
        ([Unknown(at_ms=0, id="again")], True),
        ([Unknown(at_ms=0, id="q-m3", node="relay-a")], False),  # in doubt about another message
    ],
)
def test_where_nobody_can_say_who_sent_a_lost_machine_explains_only_what_was_in_doubt(others, holds):
    lost = Fault(at_ms=61_400, until_ms=75_000, kind="kill", node="relay-a", source="relay-a.test", silences=True)
    story = sound().promised("again", 60_000)
    story.delivered("again", 61_000, peer="").delivered("again", 72_000, peer="")
    verdict = story.check(lost, *others)
    assert verdict.holds is holds
    assert [bool(one.why) for one in verdict.duplicates] == [holds]


def test_doubt_without_a_fault_explains_nothing_where_nobody_can_say_who_sent():
    story = sound().promised("again", 60_000)
    story.delivered("again", 61_000, peer="").delivered("again", 72_000, peer="")
    assert found(story.check(Unknown(at_ms=0, id="q-again"))) == {("I5", "silent duplicate")}


def test_the_relays_own_word_explains_nothing():
    story = sound()
    story.delivered("m3", 70_000)
    assert found(story.check(Unknown(at_ms=0, id="m3"))) == {("I5", "silent duplicate")}


def test_a_client_that_did_not_hear_may_get_it_twice():
    story = sound().promised("again", 60_000, result=Result.UNKNOWN).promised("again", 62_000, attempt=2)
    story.delivered("again", 61_000).delivered("again", 63_000)
    assert story.check().holds


@pytest.mark.parametrize("result", [Result.REFUSED, Result.DEFERRED, Result.LOST])
def test_mail_that_was_refused_and_arrives_is_found(result):
    story = sound().promised("no", 60_000, result=result)
    story.delivered("no", 61_000)
    assert found(story.check()) == {("I1", "unasked")}


def test_mail_to_somebody_else_is_found():
    story = sound().promised("m", 60_000)
    story.delivered("m", 61_000, to=("a@example.com", "stranger@example.com"))
    assert found(story.check()) == {("I1", "unasked")}


def test_a_delivery_without_an_answer_from_a_client_that_did_not_hear_is_nothing():
    story = sound().promised("m", 60_000, result=Result.UNKNOWN)
    story.delivered("m", 61_000)
    assert story.check().holds


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([Ended(at_ms=1, operation=1)], "without its beginning"),
        ([Begun(at_ms=1, operation=1, scope=ACCOUNT)] * 2, "begins twice"),
        ([Login(at_ms=1, scope=ACCOUNT, session=1)] * 2, "begins twice"),
        ([Gone(at_ms=1, scope=ACCOUNT, session=1)], "without its beginning"),
        ([Gone(at_ms=2, scope=ACCOUNT, session=1), Gone(at_ms=1, scope=ACCOUNT, session=1)], "beginning"),
        ([Limit(at_ms=2, scope="x", measure="starts", amount=1), History(at_ms=1, by="x")], "runs backwards"),
        ([Begun(at_ms=1, operation=1, scope="nobody@contoso.com")], "no limit of nobody"),
    ],
)
def test_a_history_that_contradicts_itself_is_refused(records, said):
    with pytest.raises(RehearsalInputError, match=said):
        check(sound().ledger, records)


def test_nothing_promised_is_no_success():
    with pytest.raises(RehearsalInputError, match="nothing to judge"):
        check([], sound().records())


# -- properties

INTERVALS = st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 30_000)), min_size=1, max_size=60)


@given(INTERVALS, st.integers(1, 40))
def test_the_worst_window_is_the_one_the_simulators_meter_finds(spans, amount):
    """Two ways of counting, written apart, agree on every history."""
    moments = sorted(
        (moment, first, number)
        for number, (start, took) in enumerate(spans)
        for first, moment in ((0, start), (1, start + took))
    )
    meter, handles, records = WindowMeter(60.0, amount), {}, []
    for moment, end, number in moments:
        if end:
            meter.end(handles[number], moment / 1000)
            records.append(Ended(at_ms=moment, operation=number, taken=True, answered=True, recipients=("a@b",)))
        else:
            handles[number] = meter.begin(moment / 1000)
            records.append(Begun(at_ms=moment, operation=number, scope=ACCOUNT))
    limit = Limit(at_ms=0, scope=ACCOUNT, measure="starts", amount=amount, window_s=60)
    worst, overshoot, _ = judge(read([limit, *records]))
    expected = meter.report(moments[-1][0] / 1000)
    assert worst[ACCOUNT]["starts/60s"] == expected.worst
    assert overshoot == max(0, expected.worst - amount)


@given(st.sets(st.integers(0, 19), max_size=5), st.sets(st.integers(0, 19), max_size=5))
def test_exactly_what_was_taken_away_or_doubled_is_told(dropped, doubled):
    doubled -= dropped
    story = Story()
    for number in range(20):
        story.promised(f"m{number}", number * 3_000)
        for again in range((number not in dropped) + (number in doubled)):
            story.delivered(f"m{number}", 1_000 + number * 3_000 + again * 100_000, took_ms=100)
    verdict = story.check()
    told = {(one.what, int(one.subject.partition(" ")[0][1:])) for one in verdict.violations}
    assert told == {("lost", n) for n in dropped} | {("silent duplicate", n) for n in doubled}
    assert verdict.delivered == 20 - len(dropped)


# -- files and the command


def written(tmp_path, story):
    history, ledger = tmp_path / "history.jsonl", tmp_path / "ledger.jsonl"
    first, *rest = story.records()
    writer = HistoryWriter(history, first.by, first.at_ms)
    for record in rest:
        writer.write(record)
    writer.close()
    ledger.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in story.ledger))
    return history, ledger


def run(history, ledger, *more):
    return CliRunner().invoke(rehearse_app, ["check", str(history), "--ledger", str(ledger), *map(str, more)])


def test_what_is_written_is_read_back(tmp_path):
    story = sound()
    history, _ = written(tmp_path, story)
    assert list(read_history(history)) == story.records()
    history.write_bytes(history.read_bytes() + b'{"op":"ended","at_ms":99')
    assert list(read_history(history)) == story.records()  # torn: the writer was killed


def test_the_command_says_yes_no_and_cannot_tell(tmp_path):
    story = sound()
    history, ledger = written(tmp_path, story)
    good = run(history, ledger)
    assert good.exit_code == 0, good.output
    assert "all invariants held" in good.output
    story.promised("gone", 60_000)
    story.delivered("m3", 70_000)
    history, ledger = written(tmp_path, story)
    bad = run(history, ledger)
    assert bad.exit_code == 1
    assert "VIOLATION I1 lost" in bad.output
    assert "VIOLATION I5 silent duplicate" in bad.output
    assert "operation 4" in bad.output
    plain = json.loads(run(history, ledger, "--json").output)
    assert {one["what"] for one in plain["violations"]} == {"lost", "silent duplicate"}
    kept = tmp_path / "kept"
    kept.write_text("q-gone\n")
    assert "lost 0" in run(history, ledger, "--kept", kept).output
    assert run(tmp_path / "nothing", ledger).exit_code == 2
    history.write_text('{"op":"limit","at_ms":0,"scope":"x","measure":"starts","amount":1}\n')
    assert "begins with a line that says who wrote it" in run(history, ledger).stderr
    history.write_text('{"op":"history","at_ms":0,"by":"x","version":7}\n')
    assert "form 7" in run(history, ledger).stderr
    history.write_text('{"op":"history","at_ms":0,"by":"x"}\nrubbish\n')
    assert "history.jsonl:2: no record" in run(history, ledger).stderr
