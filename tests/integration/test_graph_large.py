"""Mail too large for one request: built anew as a draft where its plan allows it, its attachments uploaded."""

import asyncio
import json
from email.message import EmailMessage

import pytest

from node.delivery.clock import wall_ms
from node.delivery.leftovers import OLD_S
from node.policy.envelope import OnUnknown, RecipientState
from node.policy.marker import marked_in
from node.settings.mail import Retry
from node.spool.contract import Filter
from tests.integration.test_graph_verify import verifying
from tests.support.graph_room import cloud, graph_room, script
from tests.support.large_mail import large, parts

S = RecipientState
QUICK = Retry(delays=(0.2,))
ONE = ("relay1",)
STANDARD = {"rebuild": ("standard",), "retry": QUICK}


async def hand_in(back, body=None, *to, **more):
    return await back.submit(*(to or ("bob@example.com",)), body=body or large(), **more)


def copies(simulator):
    return [one for copies in simulator.hub.graph.outbox.copies.values() for one in copies]


def arrived_whole(simulator, amount=1):
    """What came is octet for octet what was sent, once, and nothing was done that Graph forbids."""
    for copy in copies(simulator):
        assert [(one.kind, one.name, one.size_bytes, one.sha256) for one in copy.parts] == parts()
    assert len(copies(simulator)) == len(simulator.hub.receipts.latest) == amount
    assert simulator.hub.stats()["violations"]["total"] == 0


def drafts(simulator):
    return simulator.hub.counts["graph_drafts"], simulator.hub.graph.drafts


async def test_parts_recipients_and_header_arrive_as_they_were(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        body = large(
            "Bob B <bob@example.com>", "eve@example.com", Cc="al@example.org", Reply_To="Desk <desk@contoso.com>",
            Importance="high", X_Case="4711", X_Mailer="scanner 2.1",
        )  # fmt: skip
        made = await hand_in(back, body, "bob@example.com", "eve@example.com", "al@example.org", "secret@example.com")
        view = await back.until(made, S.DELIVERED, seconds=60)
        arrived_whole(simulator)
        (copy,) = copies(simulator)
        assert sorted(copy.recipients) == ["al@example.org", "bob@example.com", "eve@example.com", "secret@example.com"]
        head = copy.head.split("\r\n")
        for line in (
            "From: App <app@contoso.com>", "To: Bob B <bob@example.com>, eve@example.com", "Cc: al@example.org",
            "Reply-To: Desk <desk@contoso.com>", "Subject: large", "Importance: high", "X-Case: 4711",
            "X-Mailer: scanner 2.1", "X-Rehearsal-Id: large",
        ):  # fmt: skip
            assert line in head
        assert "secret" not in copy.head, "Bcc is told to nobody"
        assert marked_in(copy.head.encode() + b"\r\n\r\n", made) == {0, 1, 2, 3}
        assert view.recipients[0].last_reply.startswith("202")
        assert drafts(simulator) == (1, {})


async def test_html_with_its_images_arrives_as_it_was(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = "app@contoso.com", "bob@example.com", "Größe  ä"
        made.set_content("<p>äöü <img src='cid:pic'></p>", subtype="html")
        made.add_related(b"\x89PNG" * 900_000, "image", "png", cid="<pic>", filename="pic.png")
        raw = made.as_bytes().replace(b"\n", b"\r\n")
        await back.until(await hand_in(back, raw), S.DELIVERED, seconds=60)
        (copy,) = copies(simulator)
        text, picture = copy.parts
        assert (text.kind, picture.kind, picture.name) == ("text/html", "image/png", "pic.png")
        assert (picture.content_id, picture.inline, picture.size_bytes) == ("pic", True, 3_600_000)
        assert "Subject: Größe  ä" in copy.head


def alternatives() -> bytes:
    made = EmailMessage()
    made["From"], made["To"] = "app@contoso.com", "bob@example.com"
    made.set_content("plain")
    made.add_alternative("<p>rich</p>", subtype="html")
    made.add_attachment(b"x" * 3_000_000, "application", "pdf", filename="a.pdf")
    return made.as_bytes().replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        (None, {"signed": True}, "needs_rebuilding"),
        (None, {"plan": "other"}, "needs_rebuilding"),
        (large(List_Id="<l.contoso.com>"), {}, "needs_rebuilding"),
        (large(DKIM_Signature="v=1; a=rsa-sha256"), {}, "needs_rebuilding"),
        (alternatives(), {}, "needs_rebuilding"),
    ],
    ids=["signed", "not allowed", "a field Graph drops", "DKIM", "alternatives"],
)
async def test_what_may_not_be_rebuilt_is_returned_with_the_reason_where_there_is_no_other_way(
    tmp_path, body, more, reason
):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        script(simulator, {"at": "graph", "reply": "503 ServiceUnavailable: busy"})  # the report stays, to be read
        made = await hand_in(back, body, **more)
        view = await back.until(made, S.BOUNCED, seconds=60)
        assert view.recipients[0].last_reason == reason
        assert not copies(simulator)
        assert simulator.hub.counts["graph_drafts"] == 0
        bounce = await report_about(back, made)
        assert b"not built anew" in bounce or b"cannot be built anew" in bounce


async def report_about(back, made) -> bytes:
    """The delivery report about a message, as it lies in the queue."""
    async with asyncio.timeout(20):
        while True:
            for one in await back.spool.find(Filter()):
                if one.message.id != made and one.message.client != "app":
                    body = await back.spool.body(one.message.id)
                    return body if isinstance(body, bytes) else body.read_bytes()
            await asyncio.sleep(0.05)


async def test_what_may_not_be_rebuilt_takes_the_other_way(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, kinds=("graph", "submission"), **STANDARD) as back:
        view = await back.until(await hand_in(back, alternatives()), S.DELIVERED, seconds=60)
        assert view.recipients[0].last_way.startswith("submission:")
        assert simulator.hub.counts["graph_drafts"] == 0


BREAKS = [
    {"at": "look", "cut": True},
    {"at": "draft", "reply": "503 ServiceUnavailable: oh"},
    {"at": "draft", "cut": True},
    {"at": "draft", "cut": True, "accepted": True},
    {"at": "draft", "half": True},
    {"at": "draft", "garbage": True},
    {"at": "draft", "reply": "502 Bad Gateway", "skip": 1},
    {"at": "upload", "reply": "500 InternalServerError: oh", "skip": 1},
    {"at": "upload", "reply": "404 ErrorItemNotFound: the upload session expired", "skip": 2},
    {"at": "upload", "cut": True, "skip": 1},
    {"at": "upload", "cut": True, "skip": 2, "accepted": True},
    {"at": "upload", "garbage": True, "skip": 1},
    {"at": "upload", "reply": "429 ApplicationThrottled: slow", "retry_after": "1s", "skip": 1},
]


@pytest.mark.parametrize("fault", BREAKS, ids=lambda one: " ".join(str(value)[:12] for value in one.values()))
async def test_what_breaks_before_it_is_sent_is_tried_again(tmp_path, fault):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, fault | {"times": 1})
        made = await hand_in(back)
        await resumed(back, made)
        view = await back.until(made, S.DELIVERED, seconds=60)
        assert "unknown" not in [line.event for line in view.lines]
        arrived_whole(simulator)
        assert drafts(simulator)[1] == {}, "no draft stays"


async def resumed(back, made):
    """Wait for the fault to act, then do not wait as long as the relay would."""
    async with asyncio.timeout(60):
        while True:
            view = await back.spool.journey(made)
            if view.recipients[0].state in (S.DELIVERED, S.BOUNCED):
                return
            if view.recipients[0].last_reason and view.recipients[0].state is S.DEFERRED:
                break
            await asyncio.sleep(0.02)
    await again(back, made)


async def again(back, made):
    for scope in list(back.health.entries):
        back.delivery.resume(scope)
    await back.spool.release(Filter(ids=(made,)), "test", "now", wall_ms())
    back.delivery.wake()


@pytest.mark.parametrize("on_unknown", [OnUnknown.BOUNCE, OnUnknown.VERIFY])
async def test_a_break_before_it_is_sent_is_no_unknown_outcome_in_any_class(tmp_path, on_unknown):
    async with cloud() as simulator, verifying(tmp_path, simulator, **STANDARD) as back:
        script(simulator, {"at": "upload", "cut": True, "skip": 1, "times": 1})
        made = await hand_in(back, on_unknown=on_unknown)
        await resumed(back, made)
        view = await back.until(made, S.DELIVERED, seconds=60)
        assert "unknown" not in [line.event for line in view.lines]
        arrived_whole(simulator)


async def test_throttled_while_uploading_the_mailbox_rests_as_long_as_told(tmp_path):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, {"at": "upload", "reply": "429 ApplicationThrottled: slow", "retry_after": "7s", "times": 1})
        made = await hand_in(back)
        await back.reason(made, "graph_throttled", seconds=30)
        (entry,) = back.health.entries.values()
        assert 4_000 < entry.until_ms - wall_ms() <= 8_600


async def test_lost_after_it_was_sent_it_is_found_by_its_mark(tmp_path):
    """Graph chose the Message-ID, so that only the property leads to it."""
    async with cloud() as simulator, verifying(tmp_path, simulator, **STANDARD) as back:
        script(simulator, {"at": "graph", "reply": "504 UnknownError: gateway timeout", "accepted": True, "times": 1})
        made = await hand_in(back, on_unknown=OnUnknown.VERIFY)
        view = await back.until(made, S.DELIVERED, seconds=60)
        assert view.recipients[0].last_reason == "verified_sent_items"
        arrived_whole(simulator)
        assert "large@contoso.com" not in copies(simulator)[0].message_id


async def test_unknown_and_not_sent_it_is_sent_once_and_the_old_draft_is_gone(tmp_path):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, {"at": "graph", "reply": "504 UnknownError: gateway timeout", "accepted": False, "times": 1})
        made = await hand_in(back)
        await resumed(back, made)
        view = await back.until(made, S.DELIVERED, seconds=60)
        assert "unknown" in [line.event for line in view.lines]
        arrived_whole(simulator)
        assert drafts(simulator)[1] == {}


async def test_refused_at_the_end_its_draft_is_taken_away(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        script(simulator, {"at": "graph", "reply": "403 ErrorSendAsDenied: no", "times": 1})
        await back.until(await hand_in(back), S.DELIVERED, seconds=60)
        arrived_whole(simulator)
        assert drafts(simulator) == (2, {})


async def acted(simulator, number=0):
    async with asyncio.timeout(30):
        while True:
            if simulator.hub.script.report()[number]["acted"]:
                return
            await asyncio.sleep(0.01)


async def test_stopped_while_it_is_built_nothing_is_sent_and_no_draft_stays(tmp_path):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, {"at": "upload", "delay": "2s", "skip": 1, "times": 1})
        made = await hand_in(back, on_unknown=OnUnknown.BOUNCE)
        await acted(simulator)
        await back.delivery.close(0.0)
        view = await back.spool.journey(made)
        assert view.recipients[0].state in (S.QUEUED, S.DEFERRED)
        assert "unknown" not in [line.event for line in view.lines]
        assert drafts(simulator) == (1, {})


async def test_stopped_while_its_answer_is_awaited_it_is_unknown(tmp_path):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, {"at": "graph", "delay": "2s", "times": 1})
        made = await hand_in(back, on_unknown=OnUnknown.BOUNCE)
        await acted(simulator)
        await back.delivery.close(0.0)
        view = await back.spool.journey(made)
        assert "unknown" in [line.event for line in view.lines]
        assert view.recipients[0].last_reason == "unknown_bounce"


async def test_fenced_while_its_answer_is_awaited_the_answer_still_counts(tmp_path):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **STANDARD) as back:
        script(simulator, {"at": "graph", "delay": "1s", "times": 1})
        made = await hand_in(back)
        await acted(simulator)
        back.delivery.fence()
        view = await back.until(made, S.DELIVERED, seconds=30)
        assert "unknown" not in [line.event for line in view.lines]


async def test_a_node_that_may_not_send_any_more_sends_nothing_and_leaves_no_draft(tmp_path):
    may = [False]
    more = STANDARD | {"may_send": lambda: may[0]}
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, **more) as back:
        script(simulator, {"at": "delete", "delay": "1ms"})
        made = await hand_in(back)
        await acted(simulator)
        may[0] = True
        await again(back, made)
        await back.until(made, S.DELIVERED, seconds=60)
        arrived_whole(simulator)
        assert drafts(simulator)[1] == {}


async def test_drafts_left_behind_are_found_and_deleted_when_they_are_old(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        script(simulator, {"at": "upload", "cut": True}, {"at": "delete", "reply": "500 InternalServerError: oh"})
        made = await hand_in(back)
        await back.reason(made, "connect_failed", "connection_lost", "http_not_sent", seconds=30)
        assert len(drafts(simulator)[1]) == 1, "it could not be deleted"
        await back.delivery.close(1.0)
        script(simulator)
        leftovers = back.delivery._leftovers
        assert await leftovers.look(wall_ms()) == 0, "it may be under way"
        assert await leftovers.look(wall_ms() + int(OLD_S * 1000) + 5_000) == 1
        assert drafts(simulator)[1] == {}


async def test_other_peoples_drafts_are_left_alone(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, **STANDARD) as back:
        value = {"subject": "mine", "toRecipients": []}
        token = await back.tokens.token("contoso#graph")
        graph = back.delivery._leftovers._graph
        url = f"{simulator.graph_url}/v1.0/users/relay1@contoso.com/messages"
        answer = await graph.call("POST", url, token, body=json.dumps(value).encode())
        assert answer.status == 201
        assert await back.delivery._leftovers.look(wall_ms() + int(OLD_S * 2000)) == 0
        await back.until(await hand_in(back), S.DELIVERED, seconds=60)
        assert len(drafts(simulator)[1]) == 1


async def test_without_the_right_to_write_drafts_a_person_is_told_and_the_other_way_taken(tmp_path):
    app = {"graph": ["Mail.Send", "Mail.Read"]}
    kinds = ("graph", "submission")
    async with cloud(app=app) as simulator, graph_room(tmp_path, simulator, kinds=kinds, **STANDARD) as back:
        made = await hand_in(back)
        await back.reason(made, "graph_may_not_draft", seconds=30)
        await resumed(back, made)
        view = await back.until(made, S.DELIVERED, seconds=60)
        assert view.recipients[0].last_way.startswith("submission:")


async def test_at_most_two_are_in_memory_and_all_arrive(tmp_path):
    async with cloud(("relay1", "relay2", "relay3")) as simulator:
        names = ("relay1", "relay2", "relay3")
        async with graph_room(tmp_path, simulator, mailboxes=names, **STANDARD) as back:
            ids = [await hand_in(back, large(name=f"n{number}")) for number in range(6)]
            for one in ids:
                await back.until(one, S.DELIVERED, seconds=90)
            arrived_whole(simulator, 6)
