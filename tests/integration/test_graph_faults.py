"""What goes wrong at Graph, through running deliveries: what rests, for how long, and what becomes of the recipient.

One mailbox only, so that nothing hides a rest by going elsewhere. Sources: facts m365 §4.9; node/policy/table/http.py.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from node.delivery.clock import wall_ms
from node.policy.envelope import OnUnknown, RecipientState
from node.spool.contract import Filter
from tests.support.graph_room import cloud, graph_room, script

S = RecipientState
ONE = ("relay1",)
MAILBOX = "account/contoso/relay1@contoso.com"
ACCOUNT = f"{MAILBOX}#graph"
PAIR = "pair/contoso/relay1@contoso.com|app@contoso.com"
PATH = "path/contoso/graph"
BODY = b"From: app@contoso.com\r\nTo: bob@example.com\r\nMessage-ID: <1@contoso.com>\r\n\r\nhello\r\n"


@dataclass(frozen=True)
class Case:
    """A fault, and what must come of it."""

    name: str
    reason: str
    fault: dict = field(default_factory=dict)
    rests: str = ""
    rest_s: float = 0.0
    due_s: float = 0.0
    """The recipient itself waits at least so long."""
    boxes: dict = field(default_factory=dict)
    app: dict = field(default_factory=dict)


def at_graph(reply: str, **more) -> dict:
    return {"at": "graph", "reply": reply, **more}


REFUSED = [
    *(
        Case(f"token always {issue}", "graph_token_refused", {"at": "token", "issue": issue}, PATH, 300.0)
        for issue in ("expired", "wrong_audience", "wrong_tenant", "revoked")
    ),
    Case("no role", "graph_forbidden", {"at": "token", "issue": "no_roles"}, ACCOUNT, 900.0),
    Case("401 always", "graph_token_refused", at_graph("401 InvalidAuthenticationToken: no"), PATH, 300.0),
    Case("401 in a proxy's words", "graph_token_refused", at_graph("401 Unauthorized"), PATH, 300.0),
    Case("403", "graph_forbidden", at_graph("403 ErrorAccessDenied: Access is denied."), ACCOUNT, 900.0),
    Case("not granted", "graph_forbidden", {}, ACCOUNT, 900.0, app={"graph": ["Mail.Read"]}),
    Case("SendAs", "graph_send_as_denied", at_graph("403 ErrorSendAsDenied: no"), PAIR, 60.0),
    Case("no SendAs", "graph_send_as_denied", {}, PAIR, 60.0, boxes={"relay1": {"send_as": []}}),
    Case("no mailbox", "graph_no_mailbox", at_graph("404 ErrorInvalidUser: no"), ACCOUNT, 3600.0),
    Case("not for Graph", "graph_no_mailbox", {}, ACCOUNT, 3600.0, boxes={"relay1": {"graph": False}}),
    Case("full", "graph_mailbox_full", {}, MAILBOX, 3600.0, boxes={"relay1": {"state": "full"}}),
    Case("429", "graph_throttled", at_graph("429 TooManyRequests: slow"), ACCOUNT, 10.0),
    Case("429 of a front end", "graph_throttled", at_graph("429 Too Many Requests"), ACCOUNT, 10.0),
    Case("429, seconds", "graph_throttled", at_graph("429 TooManyRequests: slow", retry_after="70s"), ACCOUNT, 70.0),
    Case(
        "429, a date", "graph_throttled",
        at_graph("429 TooManyRequests: slow", retry_after="70s", retry_after_date=True), ACCOUNT, 70.0,
    ),
    Case("413", "graph_too_large", at_graph("413 Request Entity Too Large"), due_s=60.0),
    Case("size", "graph_message_size", at_graph("400 ErrorMessageSizeExceeded: no"), due_s=60.0),
]  # fmt: skip


@asynccontextmanager
async def house(tmp_path, case: Case | None = None, **more):
    boxes, app = (case.boxes, case.app) if case is not None else ({}, {})
    async with cloud(ONE, boxes=boxes, app=app) as simulator:
        if case is not None and case.fault:
            script(simulator, case.fault)
        clock = {"now_ms": lambda: wall_ms() + LATER_MS.get(str(tmp_path), 0)}
        async with graph_room(tmp_path, simulator, mailboxes=ONE, app=clock, **more) as back:
            yield simulator, back


LATER_MS: dict[str, int] = {}
"""By how much the clock of a test's token source is ahead: a token is asked for at most once a minute."""


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_a_refusal_rests_what_it_speaks_of_and_loses_nothing(tmp_path, case):
    async with house(tmp_path, case) as (simulator, back):
        made = await back.submit("bob@example.com", body=BODY)
        view = await back.reason(made, case.reason, seconds=20)
        assert view.recipients[0].state is S.DEFERRED
        assert not simulator.hub.receipts.latest
        rests_only(back, case)
        if case.due_s:
            assert case.due_s * 990 <= view.recipients[0].next_attempt_ms - last_ms(view) <= case.due_s * 1300 + 2000
        LATER_MS[str(tmp_path)] = 61_000
        await over(simulator, back, made, case)


def rests_only(back, case: Case) -> None:
    resting = {name: one for name, one in back.health.entries.items() if one.blocks(wall_ms())}
    assert set(resting) == ({case.rests} if case.rests else set())
    for one in resting.values():
        assert one.reason == case.reason
        left_s = (one.until_ms - wall_ms()) / 1000
        assert case.rest_s - 8 <= left_s <= case.rest_s * 1.25 + 1


def last_ms(view) -> int:
    return max(line.at_ms for line in view.lines)


async def over(simulator, back, made, case: Case) -> None:
    """Once the fault is over and the rest has ended the mail is delivered, once."""
    if case.boxes or case.app:
        return  # what is wrong there stays wrong
    script(simulator)
    simulator.hub.entra.issuer.revoke()  # a token with something wrong must not be used for an hour
    await again(back, made)
    await back.until(made, S.DELIVERED, seconds=20)
    assert [one.recipients for one in simulator.hub.receipts.latest] == [["bob@example.com"]]
    assert simulator.hub.stats()["violations"]["total"] == 0


async def again(back, made) -> None:
    for scope in list(back.health.entries):
        back.delivery.resume(scope)
    await back.spool.release(Filter(ids=(made,)), "test", "now", wall_ms())
    back.delivery.wake()


async def test_a_token_revoked_while_it_is_in_use_is_followed_by_another_without_a_rest(tmp_path):
    async with house(tmp_path) as (simulator, back):
        await back.until(await back.submit("bob@example.com", body=BODY), S.DELIVERED, seconds=20)
        simulator.hub.entra.issuer.revoke()
        LATER_MS[str(tmp_path)] = 61_000
        view = await back.until(await back.submit("bob@example.com", body=BODY), S.DELIVERED, seconds=20)
        assert [line.event for line in view.lines if line.event in ("unknown", "deferred")] == []
        assert simulator.hub.counts["graph_401"] == 1
        assert not [one for one in back.health.entries.values() if one.blocks(wall_ms())]
        assert len(simulator.hub.receipts.latest) == 2


async def test_too_large_twice_is_returned(tmp_path):
    async with house(tmp_path, Case("", "", at_graph("413 Request Entity Too Large"))) as (_, back):
        made = await back.submit("bob@example.com", body=BODY)
        await back.reason(made, "graph_too_large", seconds=20)
        await again(back, made)
        await back.until(made, S.BOUNCED, seconds=20)


LOST = [
    {"reply": "500 ErrorInternalServerError: oh"},
    {"reply": "502 Bad Gateway"},
    {"reply": "503 ServiceUnavailable: busy", "retry_after": "5s"},
    {"reply": "503 Service Unavailable"},
    {"reply": "504 UnknownError: late"},
    {"reply": "408 RequestTimeout: late"},
    {"reply": "403 Forbidden"},
    {"reply": "200 OK"},
    {"garbage": True},
    {"half": True},
    {"cut": True},
]


@pytest.mark.parametrize("accepted", [True, False], ids=["taken", "not taken"])
@pytest.mark.parametrize("fault", LOST, ids=lambda one: str(next(iter(one.values())))[:3] + next(iter(one)))
async def test_what_says_nothing_after_it_was_sent_is_unknown(tmp_path, fault, accepted):
    """Class ``bounce`` shows it: never sent again, and the report says that nobody knows."""
    case = Case("", "", {"at": "graph", "accepted": accepted, "times": 1, **fault})
    async with house(tmp_path, case) as (simulator, back):
        made = await back.submit("bob@example.com", body=BODY, on_unknown=OnUnknown.BOUNCE)
        view = await back.until(made, S.BOUNCED, seconds=20)
        assert view.recipients[0].last_reason == "unknown_bounce"
        assert "unknown" in [line.event for line in view.lines]
        assert sum(one.id == "<1@contoso.com>" for one in simulator.hub.receipts.latest) == accepted
        assert not [one for one in back.health.entries.values() if one.blocks(wall_ms())]


async def test_an_unknown_outcome_is_tried_again_where_its_class_says_so(tmp_path):
    case = Case("", "", {"at": "graph", "accepted": False, "times": 1, "cut": True})
    async with house(tmp_path, case) as (simulator, back):
        made = await back.submit("bob@example.com", body=BODY)
        await back.reason(made, "unknown_resend", seconds=20)
        await again(back, made)
        view = await back.until(made, S.DELIVERED, seconds=20)
        assert "resent" in [line.event for line in view.lines]
        assert len(simulator.hub.receipts.latest) == 1


# -- nobody there: nothing was sent, so no class makes an unknown outcome of it


@asynccontextmanager
async def listener(said: bytes, *, after: int = 0):
    """A server that reads ``after`` bytes, says something, and closes."""

    async def talk(reader, writer):
        if after:
            await reader.read(after)
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def unreached(tmp_path, root: str, reason: str):
    async with cloud(ONE) as simulator, graph_room(tmp_path, simulator, mailboxes=ONE, root=root) as back:
        made = await back.submit("bob@example.com", body=BODY, on_unknown=OnUnknown.BOUNCE)
        view = await back.reason(made, reason, seconds=20)
        assert view.recipients[0].state is S.DEFERRED
        assert "unknown" not in [line.event for line in view.lines]
        assert view.recipients[0].attempts == 0, "it is not the mail's fault"
        assert not simulator.hub.receipts.latest
        return {name for name, one in back.health.entries.items() if one.blocks(wall_ms())}


async def test_nobody_listens(tmp_path):
    await unreached(tmp_path, "https://localhost:1", "connect_failed")


async def test_no_such_host(tmp_path):
    await unreached(tmp_path, "https://nowhere.invalid", "name_not_resolved")


async def test_what_answers_speaks_no_tls(tmp_path):
    async with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n", after=1) as port:
        await unreached(tmp_path, f"https://localhost:{port}", "tls_failed")


async def test_cut_before_the_handshake(tmp_path):
    async with listener(b"") as port:
        await unreached(tmp_path, f"https://localhost:{port}", "connect_failed")


async def test_a_certificate_of_another_name(tmp_path):
    async with cloud(ONE) as other:
        root = other.graph_url.replace("localhost", "127.0.0.1")
        assert root != other.graph_url
        rests = await unreached(tmp_path, root, "certificate_refused")
        assert rests == {"site/contoso/graph@dc1"}
