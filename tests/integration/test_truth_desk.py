"""Reports judged over a real spool and a real truth.db: what changes, what is told, what is kept, what rests."""

import asyncio
import sqlite3

import pytest
import uuid_utils
from msgspec.structs import replace

from node.policy.envelope import Direction, Recipient, RecipientState, lane_of
from node.policy.return_path import ReturnAddresses, ReturnPath, Tokens
from node.policy.suppression import Mode, Rules
from node.spool.contract import Accepted, BodyFile, RecipientResult
from node.spool.errors import SpoolBroken
from node.spool.sqlite import SqliteSpool
from node.telemetry.context import parse, render
from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry
from node.truth.again import Again
from node.truth.arriving import WAITING_MAX, Arriving, TooManyReports
from node.truth.aside import KEPT_BYTES, KEPT_MAX, Aside
from node.truth.contract import SKEW_MS, WINDOW_MS, Answers, Came, Judged, Outcome
from node.truth.desk import Desk
from node.truth.digest import Digests
from node.truth.errors import NotNow
from node.truth.news import NEWS_MAX, News
from node.truth.store import DATABASE, Store
from node.truth.telling import Teller, Telling
from node.truth.tracing import NdrTracer
from node.truth.waiting import Waiting
from tests.support.delivery_room import Spans
from tests.support.ndrs import exchange_ndr, plain_ndr
from tests.support.spool_mail import T0, accepted, attempt, message, settlement

S = RecipientState
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
PATH = ReturnPath(ReturnAddresses(by_tenant={"contoso": "relay-bounces@contoso.com"}), Tokens([b"k" * 32]))
OWNER = "owner@contoso.com"
RULES = Rules(mode=Mode.OBSERVE, times=2)


def of(*, own_id: str = "", **facts):
    """A message with an owner and a queue id as the door makes them."""
    made = replace(message(str(uuid_utils.uuid7()), **facts), owner=OWNER)
    return replace(made, message_id=own_id) if own_id else made


class House:
    """The room around one spool; what it would send is kept in ``sent``."""

    def __init__(self, home):
        self.now_ms = T0 + 10_000
        self.spool = SqliteSpool(home / "spool", now_ms=lambda: self.now_ms)
        self.store = Store(home / "spool")
        self.spans, self.sent, self.woken, self.learnt = Spans(), [], [], []
        telemetry = RelayTelemetry(Numbers(), self.spans)
        self.aside, self.news, self.waiting = Aside(self.store), News(self.store), Waiting(self.store)
        telling = Telling(
            hostname="relay.test", senders={"contoso": "relay-bounces@contoso.com"},
            domains={"contoso": frozenset({"contoso.com"})}, suppression=RULES,
        )  # fmt: skip
        tracer = NdrTracer(telemetry, "n1")
        self.teller = Teller(telling, self.news, self._append, telemetry, self.woken.append, tracer=tracer)
        self.desk = Desk(
            self.spool, self.aside, self.waiting, self.teller, telemetry, now_ms=lambda: self.now_ms, tracer=tracer
        )
        self.desk.path = PATH
        self.desk.learn = lambda view, way, verdict: self.learnt.append((view.message.id, way, verdict.reason))
        self.digests = Digests(self.news, self.teller, self._append, telemetry, self.woken.append)

    async def _append(self, item: Accepted) -> None:
        self.sent.append(item)

    async def delivered(self, *to: str, way: tuple[str, str] = ("connector", "contoso/connector"), **facts):
        return await self.put(of(to=to or ("bob@x.example",), **facts), way)

    async def put(self, made, way: tuple[str, str] = ("connector", "contoso/connector")):
        await self.spool.append(accepted(made))
        start = replace(attempt(made, trace=TRACE), path=way[0], account=way[1])
        assert await self.spool.claim(start)
        await self.spool.settle(settlement(start))
        return made

    def back(self, made) -> str:
        return PATH.sender(made.id, "app@contoso.com", "contoso", "connector")

    async def states(self, made) -> list[S]:
        return [one.state for one in (await self.spool.journey(made.id)).recipients]


@pytest.fixture
async def house(tmp_path):
    made = House(tmp_path)
    await made.spool.open(T0)
    await made.store.open()
    yield made
    await made.store.close()
    await made.spool.close()


HOUR_MS = 3_600_000
MATCHED_THERE = Judged(outcome=Outcome.MATCHED, message_id="elsewhere", recipients=1)
MAILBOX = Came(mailbox="relay1@contoso.com", tenant="contoso")
BY_MAILBOX = ("submission", "contoso/relay1@contoso.com")


def by_smtp(address: str) -> Came:
    return Came(address=address)


async def test_a_keyed_report_bounces_tells_and_traces(house):
    made = await house.delivered()
    to = house.back(made)
    judged = await house.desk.take(exchange_ndr(to=to, recipient="bob@x.example"), by_smtp(to))
    assert judged == Judged(outcome=Outcome.MATCHED, message_id=made.id, recipients=1)
    assert await house.states(made) == [S.BOUNCED]
    (report,) = house.sent
    assert report.message.recipients[0].address == made.mail_from
    assert house.woken == [report.message]
    assert lane_of(report.message, report.message.recipients[0].direction)
    (span,) = [one for one in house.spans.spans if one.name == "relay.ndr"]
    assert (span.attributes["relay.queue_id"], span.error) == (made.id, "recipient_unknown")
    assert parse(TRACE) in span.links, "to the attempt that had delivered"
    (bounce,) = [one for one in house.spans.spans if one.name == "relay.bounce"]
    assert (bounce.context.trace_id, bounce.parent_span_id) == (span.context.trace_id, span.context.span_id)
    assert report.message.traceparent == render(bounce.context), "what becomes of the report follows its span"


async def test_a_report_in_a_mailbox_is_no_report_of_ours_to_the_sender(house):
    made = await house.delivered(way=BY_MAILBOX)
    data = exchange_ndr(to="relay1@contoso.com", recipient="bob@x.example", queue_id=made.id)
    assert (await house.desk.take(data, MAILBOX)).outcome is Outcome.MATCHED
    assert house.sent == [], "Microsoft's own lies in the mailbox"
    (owed,) = await house.news.due(house.now_ms, 0, 0)
    assert (owed.owner, [one.recipient for one in owed.news]) == (OWNER, ["bob@x.example"])


async def test_found_by_recipient_and_message_id_alone(house):
    older = await house.delivered(way=BY_MAILBOX, own_id="<same@contoso.com>")
    newer = await house.delivered(way=BY_MAILBOX, own_id="<same@contoso.com>")
    other = await house.delivered(way=BY_MAILBOX)
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example", message_id="<same@contoso.com>", returned=False)
    judged = await house.desk.take(data, MAILBOX)
    assert judged.message_id in (older.id, newer.id)
    assert judged.message_id == min(older.id, newer.id), "the oldest that is still thought delivered"
    assert await house.states(other) == [S.DELIVERED]


async def test_a_spool_that_fails_leaves_the_report_to_come_again(house, monkeypatch):
    made = await house.delivered()
    to = house.back(made)

    async def broken(*_args):
        raise SpoolBroken("disk")

    monkeypatch.setattr(house.spool, "finish", broken)
    with pytest.raises(SpoolBroken):
        await house.desk.take(exchange_ndr(to=to, recipient="bob@x.example"), by_smtp(to))
    monkeypatch.undo()
    assert house.sent == []
    assert (await house.desk.take(exchange_ndr(to=to, recipient="bob@x.example"), by_smtp(to))).recipients == 1


async def test_a_spool_that_is_not_in_use_is_not_asked(house):
    house.desk.usable = lambda: False
    with pytest.raises(NotNow):
        await house.desk.take(b"", MAILBOX)


# -- what rests


def inside(data: bytes) -> bytes:
    return b"X-MS-Exchange-Organization-AuthAs: Internal\r\n" + data


@pytest.mark.parametrize("marked", [True, False])
async def test_an_account_rests_on_the_organisations_own_word_only(house, marked):
    made = await house.delivered(way=BY_MAILBOX)
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example", status="5.1.8", queue_id=made.id)
    await house.desk.take(inside(data) if marked else data, MAILBOX)
    assert await house.states(made) == [S.BOUNCED]
    expected = [(made.id, ":".join(BY_MAILBOX), "bad_outbound_sender")]
    assert house.learnt == (expected if marked else [])


async def test_no_report_by_smtp_lets_anything_rest(house):
    made = await house.delivered()
    to = house.back(made)
    data = inside(exchange_ndr(to=to, recipient="bob@x.example", status="5.7.233"))
    assert (await house.desk.take(data, by_smtp(to))).outcome is Outcome.MATCHED
    assert house.learnt == []


async def test_a_recipients_fault_lets_nothing_rest(house):
    made = await house.delivered(way=BY_MAILBOX)
    data = inside(exchange_ndr(to="x@contoso.com", recipient="bob@x.example", queue_id=made.id))
    await house.desk.take(data, MAILBOX)
    assert house.learnt == []


# -- what is kept aside


async def test_what_fits_nothing_is_kept_and_bounded(house):
    for number in range(3):
        data = plain_ndr("r@contoso.com", [(f"r{number}@x.example", "5.1.1", "550 5.1.1 no")])
        judged = await house.desk.take(data + b"z" * KEPT_BYTES, MAILBOX)
        assert (judged.outcome, judged.why) == (Outcome.UNMATCHED, "message")
    kept = await house.aside.listed(10)
    assert [one.outcome for one in kept] == ["unmatched"] * 3
    assert len(await house.aside.content(kept[0].id)) == KEPT_BYTES
    assert await house.aside.content(999) is None


async def test_the_shelf_has_an_end(house):
    judged = Judged(outcome=Outcome.FORGED)
    for _ in range(30):
        await house.aside.keep(b"x", judged, MAILBOX, T0)
    assert len(await house.aside.listed(KEPT_MAX)) == 30
    await house.aside.keep(b"new", judged, MAILBOX, T0 + 31 * 86_400_000)
    assert [one.at_ms for one in await house.aside.listed(10)] == [T0 + 31 * 86_400_000], "older ones are gone"


async def test_other_mail_in_a_mailbox_is_not_kept(house):
    judged = await house.desk.take(b"Subject: hello\r\n\r\nhello\r\n", MAILBOX)
    assert judged.outcome is Outcome.NO_REPORT
    assert await house.aside.listed(10) == []


# -- what may yet fit


def again(house) -> Again:
    return Again(house.desk, house.waiting, now_ms=lambda: house.now_ms)


async def under_way(house):
    """A message whose outcome is not known yet."""
    made = of(to=("bob@x.example",))
    await house.spool.append(accepted(made))
    start = replace(attempt(made, trace=TRACE), path=BY_MAILBOX[0], account=BY_MAILBOX[1])
    assert await house.spool.claim(start)
    return made, start


async def test_a_report_faster_than_the_outcome_waits_for_it(house):
    made, start = await under_way(house)
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example", queue_id=made.id)
    judged = await house.desk.take(data, MAILBOX)
    assert (judged.outcome, judged.why) == (Outcome.WAITING, "state")
    assert [one.outcome for one in await house.aside.listed(9)] == ["waiting"]
    house.now_ms += HOUR_MS
    await again(house).look()
    assert await house.states(made) == [S.IN_FLIGHT]
    await house.spool.settle(settlement(start))
    house.now_ms += 2 * HOUR_MS
    await again(house).look()
    assert await house.states(made) == [S.BOUNCED], "it came while the message was under way"
    assert (await house.aside.listed(9), await house.waiting.count()) == ([], 0)


async def test_what_waits_lasts_over_a_restart_and_no_longer_than_a_report_is_believed(house):
    made, _ = await under_way(house)
    await house.desk.take(exchange_ndr(to="x@contoso.com", recipient="bob@x.example", queue_id=made.id), MAILBOX)
    await house.store.close()
    await house.store.open()
    assert await house.waiting.count() == 1
    house.now_ms += WINDOW_MS + 1
    await again(house).look()
    assert await house.waiting.count() == 0
    assert [(one.outcome, one.why) for one in await house.aside.listed(9)] == [("unmatched", "state")]


async def test_a_node_that_does_not_answer_is_asked_again(house):
    answers = [Answers(silent=True), Answers(silent=True), Answers(judged=(MATCHED_THERE,))]

    async def elsewhere(_claim):
        return answers.pop(0)

    house.desk.elsewhere = elsewhere
    forged = by_smtp("relay-bounces+" + "a" * 40 + "@contoso.com")
    judged = await house.desk.take(exchange_ndr(to=forged.address, recipient="bob@x.example"), forged)
    assert (judged.outcome, judged.why) == (Outcome.WAITING, "silent")
    for _ in range(2):
        assert await house.waiting.count() == 1
        house.now_ms += 4 * HOUR_MS
        await again(house).look()
    assert (await house.waiting.count(), await house.aside.listed(9)) == (0, [])


async def test_what_no_node_knows_does_not_wait(house):
    async def elsewhere(_claim):
        return Answers(judged=(Judged(outcome=Outcome.UNMATCHED, why="message"), Judged(outcome=Outcome.FORGED)))

    house.desk.elsewhere = elsewhere
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example")
    assert (await house.desk.take(data, MAILBOX)).outcome is Outcome.UNMATCHED
    assert await house.waiting.count() == 0


async def test_a_report_from_before_the_attempt_never_fits(house):
    made, start = await under_way(house)
    house.now_ms = start.started_ms - SKEW_MS - 1
    await house.desk.take(exchange_ndr(to="x@contoso.com", recipient="bob@x.example", queue_id=made.id), MAILBOX)
    await house.spool.settle(settlement(start))
    house.now_ms = T0 + HOUR_MS
    await again(house).look()
    assert await house.states(made) == [S.DELIVERED]
    assert [(one.outcome, one.why) for one in await house.aside.listed(9)] == [("unmatched", "window")]


async def test_what_waits_is_bounded_and_can_be_erased(house, monkeypatch):
    monkeypatch.setattr("node.truth.waiting.WAITING_MAX", 5)
    made, _ = await under_way(house)
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example", queue_id=made.id)
    for _ in range(8):
        await house.desk.take(data, MAILBOX)
    assert await house.waiting.count() == 5
    rows = [(f"{'r' * 50}{number}@{'x' * 60}.example", "5.1.1", "550 no " + "y" * 400) for number in range(200)]
    rows.append(("bob@x.example", "5.1.1", "550 no"))
    await house.desk.take(plain_ndr("x@contoso.com", rows, message_id=made.message_id), MAILBOX)
    assert (await house.aside.listed(1))[0].outcome == "unmatched", "too large to wait"
    assert await house.waiting.erase("BOB@x.example") == 5


async def test_a_message_id_is_found_behind_thousands_to_the_same_address(house, monkeypatch):
    monkeypatch.setattr("node.truth.desk.PAGE", 3)
    made = await house.delivered(way=BY_MAILBOX)
    for _ in range(7):
        await house.delivered(way=BY_MAILBOX)
    data = exchange_ndr(to="x@contoso.com", recipient="bob@x.example", message_id=made.message_id, returned=False)
    assert (await house.desk.take(data, MAILBOX)).message_id == made.id


# -- what owners hear


async def test_owners_hear_at_most_so_often_and_so_much(house):
    to = tuple(f"r{number}@x.example" for number in range(150))
    made = await house.delivered(*to)
    back = house.back(made)
    rows = [(one, "5.1.1", "550 5.1.1 no") for one in to]
    await house.desk.take(plain_ndr(back, rows), by_smtp(back))
    house.sent.clear()
    house.digests.every_s = 3600.0
    assert await house.digests.send(house.now_ms) == 0, "what comes together is told together"
    house.now_ms += 3_600_001
    assert await house.digests.send(house.now_ms) == 1
    (item,) = house.sent
    text = item.body.decode()
    assert item.message.recipients[0].address == OWNER
    assert "150 recipients bounced after delivery" in text
    assert "and 50 more of these" in text
    assert await house.digests.send(house.now_ms) == 0
    other = await house.delivered("late@x.example")
    await house.desk.take(
        plain_ndr(house.back(other), [("late@x.example", "5.1.1", "550 no")]), by_smtp(house.back(other))
    )
    house.now_ms += 600_000
    assert await house.digests.send(house.now_ms) == 0, "not twice within the hour"
    house.now_ms += 3_600_000
    assert await house.digests.send(house.now_ms) == 1


async def test_news_beyond_the_bound_is_counted(house):
    made = await house.delivered()
    one = RecipientResult(index=0, state=S.BOUNCED, reason="ndr", reply="550 no")
    for start in range(0, NEWS_MAX + 200, 100):
        addresses = [f"r{start + number}@x.example" for number in range(100)]
        await house.news.add(made, addresses, [one] * 100, OWNER, T0)
    (owed,) = await house.news.due(house.now_ms, 0, 0)
    assert (len(owed.news), owed.more) == (NEWS_MAX, 200)


async def test_reports_about_our_own_reports_are_told_to_nobody(house):
    made = await house.delivered(client="bounce")
    to = house.back(made)
    assert (await house.desk.take(exchange_ndr(to=to, recipient="bob@x.example"), by_smtp(to))).recipients == 1
    assert house.sent == []
    assert await house.news.due(house.now_ms, 0, 0) == []


async def test_notify_never_is_kept(house):
    quiet = Recipient(address="bob@x.example", direction=Direction.EXTERNAL, notify=0)
    made = await house.put(of(rcpts=(quiet,)))
    to = house.back(made)
    await house.desk.take(exchange_ndr(to=to, recipient="bob@x.example"), by_smtp(to))
    assert house.sent == [], "the sender asked for no report"
    assert await house.states(made) == [S.BOUNCED]


# -- the suppression list


async def test_an_address_is_listed_after_its_second_hard_failure(house):
    for number in (1, 2):
        made = await house.delivered("Gone@x.example", "full@x.example")
        to = house.back(made)
        rows = [("gone@x.example", "5.1.1", "550 5.1.1 no such user"), ("full@x.example", "5.2.2", "550 5.2.2 full")]
        await house.desk.take(plain_ndr(to, rows), by_smtp(to))
        listed = [one.address for one in await house.news.failing(RULES, house.now_ms)]
        assert listed == (["gone@x.example"] if number == 2 else [])
    assert await house.news.failing(RULES, house.now_ms + RULES.keep_ms + 1) == [], "it leaves the list by itself"
    assert await house.news.forget("GONE@x.example")
    assert not await house.news.forget("gone@x.example")


async def test_an_address_can_be_erased(house):
    made = await house.delivered("gone@x.example")
    to = house.back(made)
    await house.desk.take(plain_ndr(to, [("gone@x.example", "5.1.1", "550 5.1.1 no")]), by_smtp(to))
    await house.desk.take(plain_ndr(to, [("never@x.example", "5.1.1", "550 gone@x.example")]), by_smtp(to))
    assert await house.news.erase("gone@x.example") == 2
    assert await house.aside.erase("gone@x.example") == 1
    await house.store.close()
    for path in house.store.path.parent.glob(f"{DATABASE}*"):
        assert b"gone@x.example" not in path.read_bytes() or path.name.endswith("-wal")


# -- the door's side


async def test_arriving_reports_are_bounded_and_their_files_go(house, tmp_path):
    arriving = Arriving(house.desk)
    arriving.addresses = PATH.addresses
    made = await house.delivered()
    to = house.back(made)
    body = tmp_path / "body"
    body.write_bytes(exchange_ndr(to=to, recipient="bob@x.example"))
    item = Accepted(message=of(to=(to,)), body=BodyFile(path=str(body), size_bytes=body.stat().st_size))
    assert arriving.wants(item)
    await arriving.take(item)
    assert not body.exists()
    assert await house.states(made) == [S.BOUNCED]
    plain = Accepted(message=of(to=(to,)), body=b"Subject: x\r\n\r\n")
    tasks = [arriving.take(plain) for _ in range(WAITING_MAX + 20)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert any(isinstance(one, TooManyReports) for one in outcomes)
    assert sum(one is None for one in outcomes) == WAITING_MAX
    await arriving.settled()
    assert not arriving.wants(Accepted(message=of(to=("bob@contoso.com",)), body=b""))


# -- the file


async def test_a_damaged_file_is_set_aside_and_begun_anew(tmp_path):
    first = Store(tmp_path)
    await first.open()
    await first.close()
    (tmp_path / DATABASE).write_bytes(b"no database at all" * 1000)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    again = Store(tmp_path)
    await again.open()
    assert again.note
    await Aside(again).keep(b"x", Judged(outcome=Outcome.FORGED), MAILBOX, T0)
    assert len(await Aside(again).listed(5)) == 1
    await again.close()
    assert list(tmp_path.glob("*.unreadable"))


async def test_somebody_elses_file_is_left_alone(tmp_path):
    from node.spool.errors import SpoolUnusable

    with sqlite3.connect(tmp_path / DATABASE) as other:
        other.execute("CREATE TABLE theirs (x)")
    store = Store(tmp_path)
    with pytest.raises(SpoolUnusable):
        await store.open()
    await store.close()
