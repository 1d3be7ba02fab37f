"""The classifier's laws: traps, lost answers, histories, configured rows."""

import pytest

from node.policy.classify import MANY_ATTEMPTS, Classifier
from node.policy.reply import Reply, Stage, reply_from
from node.policy.table.row import BEFORE_MAIL, Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope

CLASSIFIER = Classifier()


def judged(line, stage=Stage.DOT, path="submission", **history):
    code, _, rest = line.partition(" ")
    return CLASSIFIER.classify(path, stage, reply_from(int(code), rest), **history)


def test_the_same_enhanced_code_means_the_pair_or_the_whole_account():
    pair = judged(
        "554 5.2.252 SendAsDenied; a@x not allowed to send as b@x; STOREDRV.Submission.Exception:SendAsDenied"
    )
    account = judged("550 5.2.252 Sender throttled due to continuous send as denied errors")
    assert (pair.scope, account.scope) == (Scope.ACCOUNT_FROM, Scope.ACCOUNT)


def test_too_many_recipients_is_the_message_unless_reputation_is_named():
    plain = judged("452 4.5.3 Too many recipients", Stage.RCPT)
    source = judged("452 4.5.3 Too many recipients (AS780090)", Stage.RCPT)
    assert (plain.scope, plain.hint) == (Scope.MESSAGE, Hint.SPLIT)
    assert (source.scope, source.hint, source.outcome) == (Scope.PATH_SITE, Hint.SLOWER, Outcome.SWITCH)


@pytest.mark.parametrize("kind", ["timeout", "closed", "refused", "tls", "anything"])
@pytest.mark.parametrize("path", ["submission", "smarthost", "graph"])
def test_no_answer_after_the_dot_is_unknown_never_failed(kind, path):
    verdict = CLASSIFIER.classify(path, Stage.DOT, Reply(code=0, text=kind))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNKNOWN, "answer_lost")


@pytest.mark.parametrize("code", [100, 250, 334, 354])
def test_a_positive_answer_delivers_only_after_the_dot(code):
    for stage in Stage:
        outcome = CLASSIFIER.classify("submission", stage, Reply(code=code)).outcome
        final = stage in (Stage.DOT, Stage.HTTP)
        expected = (Outcome.DELIVERED if code == 250 else Outcome.UNKNOWN) if final else Outcome.RETRY
        assert outcome is expected, stage


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in (Stage.DOT, Stage.HTTP, Stage.NDR)])
@pytest.mark.parametrize("kind", ["timeout", "refused", "tls", "closed"])
def test_transport_failures_before_the_dot_keep_the_mail(stage, kind):
    verdict = CLASSIFIER.classify("submission", stage, Reply(code=0, text=kind))
    assert verdict.outcome is Outcome.RETRY
    assert verdict.cool_down_s > 0


def test_http_that_never_left_is_no_unknown():
    assert CLASSIFIER.classify("graph", Stage.HTTP, Reply(code=0, text="not_sent timeout")).outcome is Outcome.RETRY
    assert CLASSIFIER.classify("graph", Stage.HTTP, Reply(code=0, text="timeout")).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("stage", sorted(BEFORE_MAIL))
def test_5xx_before_mail_never_bounces_even_if_a_row_says_so(stage):
    row = Row(codes=(550,), scope=Scope.MESSAGE, outcome=Outcome.BOUNCE, reason="mine", source="here")
    verdict = Classifier(first=(row,)).classify("smarthost", stage, Reply(code=550, enhanced="5.1.1"))
    assert verdict.outcome in (Outcome.SWITCH, Outcome.RETRY)
    assert verdict.reason != "mine"


DEFAULTS = [
    ("450 4.9.9 what", Stage.RCPT, Scope.RECIPIENT, Outcome.RETRY, 60),
    ("450 4.9.9 what", Stage.MAIL, Scope.MESSAGE, Outcome.RETRY, 60),
    ("450 4.9.9 what", Stage.DOT, Scope.MESSAGE, Outcome.RETRY, 60),
    ("450 4.9.9 what", Stage.EHLO, Scope.CONNECTION, Outcome.RETRY, 60),
    ("450 4.9.9 what", Stage.AUTH, Scope.CONNECTION, Outcome.RETRY, 60),
    ("550 5.9.9 what", Stage.RCPT, Scope.RECIPIENT, Outcome.BOUNCE, 0),
    ("550 5.9.9 what", Stage.MAIL, Scope.ACCOUNT_FROM, Outcome.SWITCH, 60),
    ("550 5.9.9 what", Stage.DOT, Scope.MESSAGE, Outcome.SWITCH, 60),
    ("550 5.9.9 what", Stage.AUTH, Scope.ACCOUNT, Outcome.SWITCH, 900),
    ("550 5.9.9 what", Stage.BANNER, Scope.PATH_SITE, Outcome.SWITCH, 60),
    ("530 5.9.9 what", Stage.RCPT, Scope.ACCOUNT, Outcome.SWITCH, 900),
    ("550 5.9.9 what", Stage.NDR, Scope.RECIPIENT, Outcome.BOUNCE, 0),
]


@pytest.mark.parametrize(("line", "stage", "scope", "outcome", "rest"), DEFAULTS)
def test_defaults_of_4_10(line, stage, scope, outcome, rest):
    verdict = judged(line, stage)
    assert (verdict.scope, verdict.outcome, verdict.cool_down_s) == (scope, outcome, rest)
    assert verdict.reason.startswith("unclassified_")


def test_the_second_identical_refusal_after_the_dot_bounces():
    line = "554 5.9.9 strange"
    first = judged(line)
    assert first.outcome is Outcome.SWITCH
    again = judged(line, last_reason=first.reason, last_reply=line, attempts=1)
    assert again.outcome is Outcome.BOUNCE
    other = judged(line, last_reason=first.reason, last_reply="554 5.8.8 strange", attempts=1)
    assert other.outcome is Outcome.SWITCH


def test_an_unknown_4xx_never_ends_before_its_time():
    for attempts in range(50):
        verdict = judged("451 4.9.9 hm", last_reason="unclassified_message_4xx", attempts=attempts)
        assert verdict.outcome is Outcome.RETRY


def test_two_ways_refusing_in_different_words_do_not_send_mail_back_and_forth_for_ever():
    lines = ("554 5.9.9 strange", "554 5.2.0 STOREDRV.Submission.Exception:Odd")
    last_reason, last_reply = "", ""
    for attempts in range(20):
        line = lines[attempts % 2]
        verdict = judged(line, last_reason=last_reason, last_reply=last_reply, attempts=attempts)
        if verdict.outcome is Outcome.BOUNCE:
            break
        last_reason, last_reply = verdict.reason, line
    assert attempts == MANY_ATTEMPTS


def test_many_temporary_failures_do_not_turn_the_first_refusal_into_a_bounce():
    verdict = judged("554 5.9.9 strange", last_reason="unclassified_message_4xx", attempts=30)
    assert verdict.outcome is Outcome.SWITCH


def test_a_recipients_hourly_limit_is_retried_three_times_although_5xx():
    said = {"last_reason": "recipient_hourly", "last_reply": "554 5.2.122 Recipient's per hour"}
    outcomes = [judged("554 5.2.122 Recipient's per hour", **said, attempts=n).outcome for n in (1, 2, 3)]
    assert outcomes == [Outcome.RETRY, Outcome.RETRY, Outcome.BOUNCE]


def test_content_blocks_hold_and_stop_the_client():
    for line in (
        "550 5.1.8 Access denied, bad outbound sender",
        "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is Suspend",
        "550 5.7.501 Access denied, spam abuse detected",
        "550 5.7.503 Access denied, banned sender",
    ):
        verdict = judged(line)
        assert (verdict.outcome, verdict.stops_client, verdict.park, verdict.alert) == (Outcome.HOLD, True, True, True)


def test_the_tenant_limit_stops_only_external_mail():
    assert judged("550 5.7.233 limit").narrow is Narrow.EXTERNAL
    assert judged("550 5.7.236 limit").narrow is Narrow.FROM_DOMAIN
    assert judged("550 5.7.705 threshold").narrow is Narrow.ALL


def test_microsofts_meanings_do_not_reach_a_smart_host():
    assert judged("452 4.2.2 STOREDRV lookalike", Stage.RCPT, "smarthost").scope is Scope.RECIPIENT
    assert judged("552 5.2.2 Mailbox full", Stage.DOT, "smarthost").scope is Scope.MESSAGE
    assert judged("550 5.1.1 User unknown", Stage.RCPT, "smarthost").reason == "recipient_unknown"


def test_configured_rows_come_first_in_their_order():
    grey = Row(
        enhanced=("5.7.1",), text=("grey",), paths=("smarthost",), stages=(Stage.RCPT,),
        scope=Scope.RECIPIENT, outcome=Outcome.RETRY, reason="greylisted", schedule=(300.0,), source="a",
    )  # fmt: skip
    rest = Row(codes=(5,), scope=Scope.MESSAGE, outcome=Outcome.BOUNCE, reason="all_5xx", source="b")
    classifier = Classifier(first=(grey, rest))
    verdict = classifier.classify("smarthost", Stage.RCPT, reply_from(550, "5.7.1 greylisted, come back"))
    assert (verdict.reason, verdict.cool_down_s, verdict.source) == ("greylisted", 300.0, "a")
    assert classifier.classify("submission", Stage.DOT, reply_from(550, "5.1.8 Access denied")).reason == "all_5xx"
