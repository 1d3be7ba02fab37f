"""What a course means: what counts, when it is due again, what is free, and what must never loop."""

from types import SimpleNamespace

import pytest

from node.delivery.judge import Judge
from node.delivery.transaction import Course
from node.policy.classify import Classifier
from node.policy.envelope import Direction, RecipientState
from node.policy.reply import Reply, Stage, reply_from
from node.policy.route import Way
from node.policy.sudden import LEAST
from node.policy.verdict import Outcome, Scope, Verdict
from node.settings.mail import Plan, Retry
from node.spool.contract import Queued
from tests.support.delivery_room import message

S = RecipientState
NOW = 1_800_000_000_000
WAY = Way(path="submission", tenant="contoso", account="contoso/relay1@contoso.com")


def judge(*, rival=True):
    plans = {"standard": Plan(retry=Retry(delays=(60.0, 120.0), jitter=0.0))}
    return Judge(Classifier(), plans, lambda _job: rival, lambda: 0.5)


def job(*, reused=False, client="app", **history):
    values = {
        "index": 0,
        "address": "bob@example.com",
        "direction": Direction.EXTERNAL,
        "state": S.QUEUED,
        "attempts": 0,
        "next_attempt_ms": 0,
    }
    recipient = Queued(**values | history)
    made = message("bob@example.com", client=client, expires_ms=NOW + 86_400_000)
    place = SimpleNamespace(reused=reused)
    return SimpleNamespace(message=made, recipients=(recipient,), way=WAY, place=place, direction=Direction.EXTERNAL)


def judged(made, stage, code, text="", *, rival=True, **course):
    reply = Reply(code=0, text=text) if code == 0 else reply_from(code, text)
    values = {"mail_said": True, "mail_taken": stage is not Stage.MAIL, "dot_said": stage is Stage.DOT}
    run = Course(replies={0: (stage, reply)}, stage=stage, **values | course)
    return judge(rival=rival).course(made, run, NOW).fates[0].result


def test_two_accounts_that_say_the_same_do_not_play_ping_pong():
    switch = Verdict(scope=Scope.MESSAGE, outcome=Outcome.SWITCH, reason="strange")
    one = judge()
    one.classifier = SimpleNamespace(classify=lambda *_, **__: switch)
    run = Course(replies={0: (Stage.DOT, reply_from(451, "4.0.0 x"))}, mail_said=True, dot_said=True)
    assert one.course(job(), run, NOW).fates[0].result.next_attempt_ms == NOW
    again = job(attempts=1, last_reason="strange", last_way="submission:contoso/relay2@contoso.com")
    assert one.course(again, run, NOW).fates[0].result.next_attempt_ms >= NOW + 60_000


def test_a_from_that_two_accounts_refuse_goes_on_to_the_next_at_once():
    """The pair rests, so no account is asked twice; who waited here would wait once for each two accounts."""
    asked = job(attempts=1, last_reason="sender_not_permitted", last_way="submission:contoso/relay2@contoso.com")
    refusal = "5.7.60 SMTP; Client does not have permissions to send as this sender"
    assert judged(asked, Stage.MAIL, 550, refusal).next_attempt_ms == NOW
    assert judged(asked, Stage.MAIL, 550, refusal, rival=False).next_attempt_ms >= NOW + 60_000


@pytest.mark.parametrize("code", [0, 421])
def test_a_pooled_connection_that_died_is_free(code):
    result = judged(job(reused=True), Stage.MAIL, code, "closed" if code == 0 else "4.4.1 Connection timed out")
    assert (result.state, result.next_attempt_ms, result.counts_as_attempt) == (S.DEFERRED, NOW, False)


def test_a_fresh_connection_that_breaks_twice_is_no_longer_free():
    once = judged(job(), Stage.DATA, 0, "closed")
    assert (once.next_attempt_ms, once.counts_as_attempt) == (NOW, False)
    twice = judged(job(last_reason="connection_lost"), Stage.DATA, 0, "closed")
    assert twice.next_attempt_ms > NOW


def test_a_break_after_the_dot_is_unknown_and_never_free():
    for reused in (True, False):
        assert judged(job(reused=reused), Stage.DOT, 0, "closed").state is S.UNKNOWN


def test_an_accounts_fault_uses_up_nobodys_schedule():
    result = judged(job(), Stage.DOT, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException")
    assert not result.counts_as_attempt
    assert result.next_attempt_ms == NOW
    alone = judged(
        job(), Stage.DOT, 554, "5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", rival=False
    )
    assert alone.next_attempt_ms == NOW + 60_000


def test_where_everybody_inside_is_refused_nobody_bounces():
    one, states = judge(), []
    refusal = reply_from(550, "5.4.1 Recipient address rejected: Access denied")
    for number in range(LEAST + 2):
        run = Course(replies={0: (Stage.RCPT, refusal)}, stage=Stage.RCPT, mail_said=True, mail_taken=True)
        made = job(address=f"p{number}@contoso.com", direction=Direction.INTERNAL)
        states.append(one.course(made, run, NOW + number).fates[0].result)
    assert [found.state for found in states] == [*[S.BOUNCED] * (LEAST - 1), *[S.HELD] * 3]
    assert states[-1].reason == "directory_blocks_everybody"


def test_a_bounce_of_a_report_is_dead():
    assert judged(job(), Stage.RCPT, 550, "5.1.1 unknown").state is S.BOUNCED
    assert judged(job(client="bounce"), Stage.RCPT, 550, "5.1.1 unknown").state is S.DEAD


def test_what_the_server_lacks_blames_neither_account_nor_path():
    result = judged(job(), Stage.MAIL, 554, "5.6.3 no eight-bit", local=True, mail_said=False)
    assert (result.state, result.scope) == (S.BOUNCED, "message")


def test_upstream_words_are_cut_and_printable():
    result = judged(job(), Stage.RCPT, 550, "5.1.1 " + "x\x07" * 2000)
    assert len(result.reply) <= 512
    assert result.reply.isprintable()


def test_no_retry_is_planned_past_the_expiry():
    made = job(attempts=5)
    made.message = message("bob@example.com", expires_ms=NOW + 1000)
    result = judged(made, Stage.RCPT, 450, "4.2.1 later", rival=False)
    assert result.next_attempt_ms == NOW + 1000
