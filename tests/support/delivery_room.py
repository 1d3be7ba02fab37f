"""A back door in a test: real spool, real budgets, real sockets; the upstream is scripted."""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme
import uuid_utils

from node.cluster.budgets import EmbeddedBudgets
from node.cluster.contract import Limits
from node.cluster.limits import BudgetLimits
from node.delivery.clock import steady_ms, wall_ms
from node.delivery.dial import Dialer
from node.delivery.endpoint import AuthKind, Endpoint, Timings, TlsMode
from node.delivery.reporter import Reporting
from node.delivery.service import Delivery
from node.delivery.wiring import Plans, Wiring
from node.m365.token import AccessToken
from node.policy.envelope import Direction, NewMessage, OnUnknown, Priority, Recipient, RecipientState, lane_of
from node.policy.health import HealthBook
from node.policy.patterns import PatternSet
from node.policy.route import Account, Connector, Directory, DirectSend, SmartHost, TenantWays
from node.settings.mail import Plan, Retry
from node.spool.contract import Accepted
from node.spool.memory import MemorySpool
from node.spool.sqlite import SqliteSpool
from node.telemetry.contract import FinishedSpan
from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry

BODY = b"Subject: test\r\nFrom: app@contoso.com\r\n\r\n.dot\r\nhello\r\n"
FAST = Timings(connect_s=2, banner_s=2, command_s=2, data_s=2, dot_s=2)
UNLIMITED = Limits(messages=0, window_s=60.0, recipients_24h=0, sessions=0)
HOST = "smarthost:contoso/smarthost"


class Spans:
    """Keeps finished spans."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def put(self, span: FinishedSpan) -> None:
        self.spans.append(span)


class Tokens:
    """A token source whose tokens are numbered; an invalidated one is followed by the next."""

    def __init__(self, *, size: int = 10) -> None:
        self.number = 1
        self.asked = 0
        self.size = size
        self.error: Exception | None = None

    async def token(self, tenant: str) -> AccessToken:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return AccessToken(value=f"token{self.number}".ljust(self.size, "x"), expires_ms=wall_ms() + 3_600_000)

    def invalidate(self, tenant: str, token: AccessToken | None = None) -> bool:
        self.number += 1
        return True


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client context of a throw-away authority, for ``localhost``."""
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


def smarthost(port: int, **more) -> Endpoint:
    values = {
        "way": HOST,
        "path": "smarthost",
        "account": "contoso/smarthost",
        "tenant": "contoso",
        "host": "127.0.0.1",
        "port": port,
        "tls": TlsMode.NONE,
        "connections": 4,
        "helo": "relay.contoso.com",
        "timings": FAST,
    }
    return Endpoint(**values | more)


def submission(port: int, context: ssl.SSLContext, mailbox: str = "relay1@contoso.com", **more) -> Endpoint:
    values = {
        "way": f"submission:contoso/{mailbox}",
        "path": "submission",
        "account": f"contoso/{mailbox}",
        "tenant": "contoso",
        "host": "localhost",
        "port": port,
        "tls": TlsMode.STARTTLS,
        "context": context,
        "auth": AuthKind.XOAUTH2,
        "user": mailbox,
        "connections": 2,
        "slotted": True,
        "metered": True,
        "helo": "relay.contoso.com",
        "timings": FAST,
    }
    return Endpoint(**values | more)


def mx_way(kind: str, port: int, **more) -> Endpoint:
    """A connector or direct send, without TLS: what TLS is for is tested elsewhere."""
    values = {"way": f"{kind}:contoso/{kind}", "path": kind, "account": f"contoso/{kind}", "paced": True}
    return smarthost(port, **values | more)


def directory_of(*endpoints: Endpoint) -> Directory:
    accounts = tuple(
        Account(scope=one.account, mailbox=one.user, send_as=PatternSet(("*@contoso.com",)), recipients_per_message=100)
        for one in endpoints
        if one.path == "submission"
    )
    host = next((one for one in endpoints if one.path == "smarthost"), None)
    kinds = tuple(dict.fromkeys(one.path for one in endpoints))
    tenant = TenantWays(
        name="contoso",
        domains=frozenset({"contoso.com"}),
        accounts=accounts,
        smarthost=SmartHost(scope=host.account) if host else None,
        connector=Connector(scope="contoso/connector", certificate=True) if "connector" in kinds else None,
        direct_send=DirectSend(scope="contoso/direct-send") if "direct-send" in kinds else None,
    )
    return Directory(
        tenants={"contoso": tenant},
        routes={Direction.INTERNAL: kinds, Direction.EXTERNAL: kinds},
        outside_plans=frozenset({"standard"}),
    )


@dataclass
class Room:
    spool: SqliteSpool | MemorySpool
    budgets: EmbeddedBudgets
    delivery: Delivery
    health: HealthBook
    spans: Spans
    telemetry: RelayTelemetry
    tokens: Tokens
    ids: list[str] = field(default_factory=list)

    async def submit(self, *to: str, body: bytes = BODY, wake: bool = True, **more) -> str:
        made = message(*to, body=body, **more)
        await self.spool.append(Accepted(message=made, body=body))
        self.ids.append(made.id)
        if wake:
            self.delivery.wake({lane_of(made, one.direction) for one in made.recipients})
        return made.id

    async def states(self, message_id: str) -> list[RecipientState]:
        view = await self.spool.journey(message_id)
        return [one.state for one in view.recipients]

    async def until(self, message_id: str, *states: RecipientState, seconds: float = 10.0):
        """Wait until every recipient is in one of the states; gives the view."""
        deadline = time.monotonic() + seconds
        while True:
            view = await self.spool.journey(message_id)
            if all(one.state in states for one in view.recipients):
                return view
            assert time.monotonic() < deadline, (
                [(one.state, one.last_reason, one.last_reply) for one in view.recipients],
                self.delivery.state(),
            )
            await asyncio.sleep(0.01)

    async def reason(self, message_id: str, *reasons: str, seconds: float = 10.0):
        """Wait until the first recipient waits for one of the reasons."""
        deadline = time.monotonic() + seconds
        while True:
            view = await self.spool.journey(message_id)
            if view.recipients[0].last_reason in reasons and view.recipients[0].state is not RecipientState.IN_FLIGHT:
                return view
            assert time.monotonic() < deadline, view
            await asyncio.sleep(0.01)


def message(*to: str, body: bytes = BODY, **more) -> NewMessage:
    name = str(uuid_utils.uuid7())
    direction = more.pop("direction", Direction.EXTERNAL)
    notify = more.pop("notify", 8)
    values = {
        "id": name,
        "client": "app",
        "plan": "standard",
        "mail_from": "app@contoso.com",
        "header_from": "app@contoso.com",
        "tenant": "contoso",
        "recipients": tuple(
            Recipient(address=one, direction=direction, notify=notify) for one in to or ("bob@example.com",)
        ),
        "size_bytes": len(body),
        "received_ms": wall_ms(),
        "expires_ms": wall_ms() + 3_600_000,
        "message_id": f"<{name}@contoso.com>",
        "priority": Priority.NORMAL,
        "on_unknown": OnUnknown.RESEND,
    }
    return NewMessage(**values | more)


@asynccontextmanager
async def room(tmp_path: Path, *endpoints: Endpoint, memory: bool = False, **more):
    made = MemorySpool(tmp_path, now_ms=wall_ms) if memory else SqliteSpool(tmp_path / "spool", now_ms=wall_ms)
    await made.open(wall_ms())
    try:
        await made.recover(wall_ms())
        async with _room(made, *endpoints, **more) as back:
            yield back
    finally:
        # The spool's threads outlive a failed test otherwise.
        await made.close()


@asynccontextmanager
async def _room(
    made: SqliteSpool | MemorySpool,
    *endpoints: Endpoint,
    limits: dict[str, Limits] | None = None,
    retry: Retry | None = None,
    start: bool = True,
    poll_s: float = 60.0,  # nothing is found by looking once in a while: who has news must tell it
    dialer: Dialer | None = None,
    unit_random: Callable[[], float] = lambda: 0.5,
    may_send: Callable[[], bool] = lambda: True,
    tokens=None,
    graph=None,
    directory: Directory | None = None,
    **planned,
):
    plans = {"standard": Plan(retry=retry or Retry(delays=(60.0,)), outside_tenant=True)}
    accounts = {one.account: UNLIMITED for one in endpoints} | (limits or {})
    holder: list[Delivery] = []
    budgets = EmbeddedBudgets(
        BudgetLimits(accounts=accounts),
        started_ms=steady_ms(),
        on_free=lambda account: holder[0].freed(account) if holder else None,
    )
    budgets.rebuild([], steady_ms())
    spans, tokens, health = Spans(), tokens or Tokens(), HealthBook("dc1")
    telemetry = RelayTelemetry(Numbers(), spans)
    delivery = Delivery(
        Plans(
            directory=directory or directory_of(*endpoints),
            plans=plans,
            endpoints={one.way: one for one in endpoints},
            reporting=Reporting(
                hostname="relay.contoso.com",
                senders={"contoso": "relay-bounces@contoso.com"},
                domains={"contoso": frozenset({"contoso.com"})},
                plans=plans,
            ),
            node="node1",
            poll_s=poll_s,
            **planned,
        ),
        Wiring(
            spool=made,
            budgets=budgets,
            telemetry=telemetry,
            tokens=tokens,
            graph=graph,
            health=health,
            dialer=dialer or Dialer(),
            unit_random=unit_random,
            may_send=may_send,
        ),
    )
    holder.append(delivery)
    try:
        if start:
            await delivery.start()
        yield Room(made, budgets, delivery, health, spans, telemetry, tokens)
    finally:
        await delivery.close(2.0)
