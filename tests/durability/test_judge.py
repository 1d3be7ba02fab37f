"""What counts as lost, and which repetitions are explained."""

from dataclasses import replace
from uuid import UUID

import pytest

from tests.durability import judge
from tests.durability.judge import Deliveries, Done, Why
from tests.durability.plan import Act
from tests.durability.watch import Receipt, Seen, Wholeness, sessions_ended, takeovers

T = 1_800_000_000_000
TO = "someone@example.com"


def queue_id(ms: int, n: int = 0) -> str:
    return str(UUID(f"{ms:012x}70008000{n:012x}"))


def receipt(at_ms: int, by: str = "relay-a", accepted_ms: int = T - 500, accepted_by: str = "relay-a") -> Receipt:
    return Receipt(
        at_ms=at_ms, id="one", queue_id=queue_id(accepted_ms), accepted_by=accepted_by, sent_by=by, recipients=(TO,)
    )


def done(act: Act, at_ms: int = T, node: str = "relay-a", what: str = "") -> Done:
    return Done(round=0, node=node, act=act, what=what, began_ms=at_ms, ended_ms=at_ms + 10)


def why(first: Receipt, again: Receipt, *acts: Done, unknown: bool = False) -> Why:
    return judge.repetition(TO, first, again, unknown=unknown, done=acts).why


AGAIN = receipt(T + 6_000, by="relay-b")


def test_a_repetition_nothing_accounts_for_is_unexplained():
    assert why(receipt(T - 100), AGAIN) is Why.UNEXPLAINED
    assert why(receipt(T - 100), AGAIN, done(Act.CUT, what="upstream")) is Why.UNEXPLAINED
    assert why(receipt(T - 100), AGAIN, done(Act.KILL, node="relay-c")) is Why.UNEXPLAINED
    assert why(receipt(T - 100), AGAIN, done(Act.KILL, at_ms=T + 7_000)) is Why.UNEXPLAINED


def test_an_attempt_broken_off_that_a_journey_calls_unknown_explains_it():
    assert why(receipt(T - 100), AGAIN, done(Act.KILL), unknown=True) is Why.UNKNOWN
    assert why(receipt(T + 3_000), AGAIN, done(Act.CUT, what="upstream"), unknown=True) is Why.UNKNOWN
    assert why(receipt(T + 4_000), AGAIN, done(Act.CUT, what="etcd"), unknown=True) is Why.UNKNOWN
    [ended] = judge.ended([("relay-a", T)])
    assert why(receipt(T + 100), AGAIN, ended, unknown=True) is Why.UNKNOWN


def test_an_attempt_called_unknown_for_no_reason_explains_nothing():
    assert why(receipt(T - 100), AGAIN, unknown=True) is Why.UNEXPLAINED
    assert why(receipt(T - 4_000), AGAIN, done(Act.KILL), unknown=True) is Why.UNEXPLAINED
    ended = judge.ended([("relay-a", T), ("relay-c", T + 4_000)])
    assert why(receipt(T + 4_000), AGAIN, *ended, unknown=True) is Why.UNEXPLAINED
    assert why(receipt(T), AGAIN, *ended) is Why.UNEXPLAINED, "no journey calls it unknown"
    assert why(receipt(T - 4_000), AGAIN, done(Act.CUT, what="etcd"), unknown=True) is Why.UNEXPLAINED
    assert why(receipt(T + 100), AGAIN, done(Act.CUT, node="relay-c", what="upstream"), unknown=True) is Why.UNEXPLAINED


@pytest.mark.parametrize("act", sorted(judge.ENDS))
def test_a_delivery_just_before_its_nodes_loss_could_not_be_told(act):
    assert why(receipt(T - 1_200), AGAIN, done(act)) is Why.UNDISCARDED
    assert why(receipt(T - 1_400), AGAIN, done(act)) is Why.UNEXPLAINED


def test_a_delivery_whose_other_end_was_away_is_told_apart():
    lost, away = done(Act.DESTROY), done(Act.FREEZE, at_ms=T - 9_000, node="relay-b")
    assert why(receipt(T - 5_000), AGAIN, lost, away) is Why.AWAY
    assert why(receipt(T - 5_000), AGAIN, lost, replace(away, act=Act.CUT, what="peers")) is Why.AWAY
    assert why(receipt(T - 5_000), AGAIN, away) is Why.UNEXPLAINED
    assert why(receipt(T - 5_000), AGAIN, lost, replace(away, round=1)) is Why.UNEXPLAINED


def test_a_copy_at_a_shadow_no_longer_in_use_goes_when_the_two_compare():
    first, lost = receipt(T - 4_000, accepted_ms=T - 60_000), [done(Act.DESTROY)]
    moved = [seen(T - 61_000, shadow="relay-b"), seen(T - 5_000, shadow="relay-c")]
    stayed = [seen(T - 61_000), seen(T - 5_000)]

    def judged(before: Receipt, said: list[Seen]) -> Why:
        return judge.repetition(TO, before, AGAIN, unknown=False, done=lost, seen=said).why

    assert judged(first, moved) is Why.IDLE
    assert judged(first, stayed) is judged(first, []) is Why.UNEXPLAINED
    assert judged(replace(first, at_ms=T - 8_000), moved) is Why.UNEXPLAINED


def test_what_was_promised_and_not_delivered_is_lost():
    found = Deliveries()
    assert found.add([receipt(T)]) == []
    assert [again for _, _, again in found.add([receipt(T + 1)])] == [receipt(T + 1)]
    promises = {"strict": [("one", queue_id(T - 500), [TO]), ("two", queue_id(T, 2), [TO])]}
    assert [(one.id, one.allowed) for one in judge.lost(promises, found, [], [], [])] == [("two", False)]
    assert judge.lost(promises, found, {queue_id(T, 2)}, [], []) == []


def seen(at_ms: int, shadow: str = "relay-b", unprotected: int = 0) -> Seen:
    return Seen(at_ms=at_ms, node="relay-a", ready=True, reasons=(), shadow=shadow, unprotected=unprotected, waiting=0)


def test_only_a_client_that_may_be_alone_may_lose_what_was_flagged_on_a_lost_machine():
    destroyed = [done(Act.DESTROY, at_ms=T + 3_000)]
    flagged = [seen(T - 400, unprotected=2)]
    missing = {"preferred": [("two", queue_id(T), [TO])], "strict": [("three", queue_id(T, 3), [TO])]}
    found = judge.lost(missing, Deliveries(), [], destroyed, flagged)
    assert {one.id: one.allowed for one in found} == {"two": True, "three": False}
    for acts, words in (
        ([], flagged),
        (destroyed, [seen(T)]),
        (destroyed, [seen(T - 9_000, shadow="")]),
        (destroyed, [*flagged, seen(T + 2_000)]),
    ):
        assert not any(one.allowed for one in judge.lost(missing, Deliveries(), [], acts, words))


def test_a_cluster_is_whole_when_each_node_had_nothing_alone_under_the_shadow_it_has():
    def said(node: str, *, shadow: str = "another", ready: bool = True, unprotected: int = 0) -> Seen:
        return replace(seen(T, shadow=shadow, unprotected=unprotected), node=node, ready=ready)

    whole = Wholeness()
    assert not whole.look([said("a"), said("b", unprotected=1)])
    assert whole.look([said("a", unprotected=5), said("b")])
    assert not whole.look([said("a"), None])
    assert not whole.look([said("a"), said("b", unprotected=1)])
    assert not Wholeness().look([said("a"), said("b", ready=False)])
    assert not Wholeness().look([said("a"), said("b", shadow="")])
    assert not whole.look([said("a", shadow="a third", unprotected=1), said("b")])
    assert whole.look([said("a", shadow="a third"), said("b")])


def test_mail_goes_on_when_another_node_delivers_what_the_lost_one_had_accepted():
    receipts = [
        receipt(T + 100),
        receipt(T + 200, by="relay-b", accepted_by="relay-b"),
        receipt(T + 300, by="relay-b", accepted_ms=T + 50),
        receipt(T + 7_000, by="relay-b"),
    ]
    assert judge.resumed_s("relay-a", T, receipts) == 7.0
    assert judge.resumed_s("relay-c", T, receipts) is None
    assert judge.resumed_s("relay-a", T, receipts, since_ms=T - 400) is None
    assert judge.begun_ms("relay-a", T, [done(Act.BOOT, at_ms=T - 400), done(Act.BOOT, at_ms=T + 1)]) == T - 400


def test_mail_is_taken_over_when_the_other_says_so():
    log = [
        '{"event": "took over 0 messages of relay-a", "timestamp": "2027-01-15T08:00:06Z"}\n',
        '{"event": "took over 4 messages of relay-a", "timestamp": "2027-01-15T08:00:07Z"}\n',
        '{"event": "took over 4 messages of relay-c", "timestamp": "2027-01-15T08:00:01Z"}\n',
        "no JSON\n",
    ]
    found = list(takeovers("relay-b", log))
    assert judge.taken_over_s("relay-a", T, found) == 7.0
    assert judge.taken_over_s("relay-a", T + 8_000, found) is None
    assert judge.taken_over_s("relay-b", T, found) is None


def test_a_node_says_itself_when_it_had_to_stop_sending():
    log = [
        '{"event": "may not send: no session, and not everybody\'s word", "timestamp": "2027-01-15T08:00:07.5Z"}\n',
        '{"event": "may send: a session", "timestamp": "2027-01-15T08:00:08Z"}\n',
        "no JSON\n",
    ]
    assert sessions_ended(log) == [T + 7_500]


def test_what_waited_is_what_was_last_said_of_it():
    said = [replace(seen(T + ms), waiting=count) for ms, count in ((-6_000, 9), (-900, 4), (-100, 7), (50, 1))]
    assert judge.waited("relay-a", T, said) == 7
    assert judge.waited("relay-a", T - 5_000, said) == 9
    assert judge.waited("relay-a", T + 9_000, said) == judge.waited("relay-b", T, said) == 0
