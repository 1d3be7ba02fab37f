"""Steps match by moment, attempt and pattern, and are used up."""

import pytest

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.script import Facts, Moment, Script, read_steps


def script(*steps):
    return Script(read_steps(list(steps), "test"))


def test_each_message_fails_on_its_first_attempt_only():
    faults = script({"at": "dot", "when": {"attempt": 1}, "reply": "451 4.4.0 later"})
    for message in ("a", "b"):
        assert faults.next(Moment.DOT, Facts(key=message)).reply == "451 4.4.0 later"
        assert faults.next(Moment.DOT, Facts(key=message)) is None


def test_skip_and_times_count_matches():
    faults = script({"at": "rcpt", "when": {"recipient": "*@X.org"}, "skip": 1, "times": 2, "reply": "550 5.1.1 no"})
    facts = Facts(key="k", recipients=("a@x.org",))
    acted = [faults.next(Moment.RCPT, facts) is not None for _ in range(5)]
    assert acted == [False, True, True, False, False]
    assert faults.report()[0]["acted"] == 2


@pytest.mark.parametrize(
    ("when", "facts"),
    [
        ({"account": "relay1@*"}, Facts(account="relay1@contoso.com")),
        ({"sender": "*@contoso.com"}, Facts(sender="App@Contoso.com")),
        ({"subject": "sim-4711"}, Facts(subject="Hello SIM-4711 x")),
        ({"id": "run-0*"}, Facts(id="run-0001")),
        ({"attempt": [2, 3]}, None),
    ],
)
def test_conditions(when, facts):
    faults = script({"at": "dot", "when": when, "cut": True})
    if facts is None:
        assert [faults.next(Moment.DOT, Facts(key="m")) is not None for _ in range(4)] == [False, True, True, False]
        return
    assert faults.next(Moment.DOT, facts) is not None
    assert faults.next(Moment.DOT, Facts()) is None


@pytest.mark.parametrize(
    ("step", "word"),
    [
        ({"at": "dot", "reply": "nonsense"}, "three digits"),
        ({"at": "dot", "reply": "550 a", "cut": True}, "choose one"),
        ({"at": "body", "reply": "550 a"}, "only cut"),
        ({"at": "connect", "reply": "421 a"}, "banner"),
        ({"at": "lunch"}, "connect"),
        ({"at": "dot", "surprise": 1}, "surprise"),
    ],
)
def test_bad_steps_are_named_with_their_place(step, word):
    with pytest.raises(RehearsalInputError, match=word):
        read_steps([{"at": "mail", "reply": "250 fine"}, step], "faults.yaml")
