"""``relayctl m365 check``: the checks with the delivery's own parts as probes. Needs no running node.

One session at a time on each account, the third Microsoft allows: the two a node uses are left to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from node.app.graph_probes import drafted, looked_into
from node.app.parts import apps_of
from node.check.contract import Finding, Scene, Told, WayToTest
from node.check.run import check
from node.delivery.assembly import endpoints_of
from node.delivery.connection import Connection, Session, broken_reply
from node.delivery.conversation import conversation
from node.delivery.dial import Dialer
from node.delivery.endpoint import AuthKind, Endpoint, Timings
from node.delivery.errors import Refused, WireBroken
from node.delivery.graph_line import GraphLine
from node.delivery.letter import Letter, safe
from node.delivery.looking import Archive, Looker, LookFailed
from node.delivery.opener import Opener
from node.delivery.transaction import always
from node.errors import RelayError
from node.m365.entra import Entra
from node.m365.errors import HttpFailed
from node.m365.graph import Graph, tenant_url
from node.m365.https import Https
from node.m365.token import AccessToken
from node.m365.tokens import TokenSource
from node.policy.classify import Classifier
from node.policy.envelope import Direction, NewMessage, Recipient, RecipientState
from node.policy.reply import Reply, Stage, reply_from
from node.settings.clouds import cloud_of
from node.settings.model import Settings
from node.settings.reader import Loaded
from node.settings.replies import reply_rows
from node.settings.ways import graph_flow
from node.spool.contract import Queued
from node.truth.contract import INBOX
from node.truth.graph import GraphMailboxes

TIMINGS: Final = Timings(connect_s=10.0, banner_s=20.0, command_s=30.0, data_s=30.0, dot_s=120.0)
ARRIVAL_S: Final = 60.0
"""How long a message sent inside is waited for in its mailbox."""
ARRIVAL_LOOK_S: Final = 2.0
_DONE: Final = Reply(code=250, enhanced="2.0.0", text="")
_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was told."""

    tenant: str = ""
    sends: bool = True
    pairs: int = 10
    to: str = ""


def run_check(loaded: Loaded, options: Options) -> list[Finding]:
    """Check what the options name. Raises ConfigurationError."""
    settings = loaded.settings
    return asyncio.run(checked(settings, settings.hostname or loaded.node, options))


async def checked(settings: Settings, hostname: str, options: Options) -> list[Finding]:
    """Check in a running loop. Raises ConfigurationError."""
    prober = Probes(settings, hostname)
    try:
        found: list[Finding] = []
        for name in [options.tenant] if options.tenant else settings.tenants:
            scene = Scene(
                settings=settings,
                tenant=name,
                ways=prober.ways(name),
                prober=prober,
                now_ms=time.time_ns() // 1_000_000,
                sends=options.sends,
                pairs=options.pairs,
                to=options.to,
            )
            found += await check(scene, Classifier(first=reply_rows(settings.replies)))
        return found
    finally:
        await prober.close()


class Probes:
    """Implements ``node.check.contract.Prober`` with the delivery's opener and conversations."""

    def __init__(self, settings: Settings, hostname: str) -> None:
        """Build what the ways need; nothing is opened. Raises ConfigurationError."""
        self._settings = settings
        self._endpoints = endpoints_of(settings, hostname, TIMINGS)
        self._entra, self._https = Entra(settings.egress), Https(settings.egress)
        self._tokens = TokenSource(apps_of(settings), self._entra)
        self._graph = Graph(self._https)
        self._looker = Looker(self._graph, self._tokens)
        self._opener = Opener(Dialer(), self._tokens, self._graph)
        roots = {name: cloud_of(tenant).graph for name, tenant in settings.tenants.items()}
        self._mailboxes = GraphMailboxes(self._https, self._tokens, roots, graph_flow)

    async def close(self) -> None:
        """Close connections."""
        await self._tokens.close()
        await self._entra.close()
        await self._https.close()

    def ways(self, tenant: str) -> tuple[WayToTest, ...]:
        """Give the ways of a tenant that some route names."""
        return tuple(_way(endpoint) for endpoint in self._endpoints.values() if endpoint.tenant == tenant)

    async def token(self, flow: str) -> AccessToken:
        """See Prober."""
        return await self._tokens.token(flow)

    async def login(self, way: str) -> Told:
        """See Prober."""

        async def nothing(_session: Session) -> Told:
            return Told(stage=Stage.AUTH, reply=_DONE)

        return await self._with(way, nothing)

    async def envelope(self, way: str, mail_from: str, to: str) -> Told:
        """See Prober."""

        async def said(session: Session) -> Told:
            if not isinstance(session, Connection):
                return Told(stage=Stage.MAIL, reply=_DONE)
            return await _envelope(session, mail_from, to)

        return await self._with(way, said)

    async def send(self, way: str, mail_from: str, to: str, data: bytes) -> Told:
        """See Prober."""

        async def sent(session: Session) -> Told:
            course = await conversation(session, _letter(mail_from, to, data), None, always).run()
            stage, reply = course.replies.get(0, (course.stage, course.final or Reply(code=0, text="no answer")))
            return Told(stage=stage, reply=reply)

        return await self._with(way, sent)

    async def look(self, way: str) -> Told:
        """See Prober."""
        return await self._by_graph(way, looked_into)

    async def draft(self, way: str) -> Told:
        """See Prober."""
        return await self._by_graph(way, drafted)

    async def _by_graph(self, way: str, act: Callable[[GraphLine], Awaitable[Told]]) -> Told:
        async def done(session: Session) -> Told:
            return await act(session) if isinstance(session, GraphLine) else Told(stage=Stage.HTTP, reply=_DONE)

        return await self._with(way, done)

    async def readable(self, tenant: str, mailbox: str) -> str:
        """See Prober."""
        try:
            await self._mailboxes.changes(tenant, mailbox, INBOX, "", time.time_ns() // 1_000_000)
        except RelayError as error:
            return str(error)
        return ""

    async def arrived(self, tenant: str, mailbox: str, message_id: str) -> bytes | None:
        """See Prober."""
        root = cloud_of(self._settings.tenants[tenant]).graph
        place = Archive(graph=root, flow=graph_flow(tenant), mailbox=mailbox)
        for _ in range(round(ARRIVAL_S / ARRIVAL_LOOK_S)):
            try:
                head = await self._looker.head(place, message_id)
            except LookFailed:
                return None
            if head:
                return head
            await asyncio.sleep(ARRIVAL_LOOK_S)
        return None

    async def domains(self, tenant: str) -> tuple[str, ...] | None:
        """See Prober."""
        if graph_flow(tenant) not in apps_of(self._settings):
            return None
        root = cloud_of(self._settings.tenants[tenant]).graph
        try:
            token = await self._tokens.token(graph_flow(tenant))
            answer = await self._graph.call("GET", tenant_url(root, "domains"), token)
        except (RelayError, HttpFailed):
            return None
        rows = answer.value.get("value") if answer.status == _OK and isinstance(answer.value, dict) else None
        if not isinstance(rows, list):
            return None
        return tuple(row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str))

    async def _with(self, way: str, act: Callable[[Session], Awaitable[Told]]) -> Told:
        endpoint = self._endpoints[way]
        try:
            session = await self._opener.open(endpoint, [])
        except Refused as refused:
            return Told(stage=refused.stage, reply=refused.reply, where=endpoint.place)
        try:
            return await act(session)
        except Refused as refused:
            return Told(stage=refused.stage, reply=refused.reply, where=endpoint.place)
        except WireBroken as error:
            return Told(stage=Stage.MAIL, reply=broken_reply(error), where=endpoint.place)
        finally:
            session.close()


def _way(endpoint: Endpoint) -> WayToTest:
    asks = endpoint.auth is AuthKind.XOAUTH2 or bool(endpoint.graph)
    return WayToTest(
        name=endpoint.way,
        path=endpoint.path,
        account=endpoint.account,
        mailbox=endpoint.user,
        place=endpoint.place,
        flow=endpoint.flow if asks else "",
    )


async def _envelope(connection: Connection, mail_from: str, to: str) -> Told:
    """MAIL and RCPT, then RSET: the server counts nothing (operations A5)."""
    wire, command_s = connection.wire, connection.endpoint.timings.command_s
    if not (safe(mail_from) and safe(to)):
        return Told(
            stage=Stage.RCPT, reply=Reply(code=501, enhanced="5.1.3", text="the address cannot be said in SMTP")
        )
    told = Told(stage=Stage.MAIL, reply=reply_from(*await wire.ask(f"MAIL FROM:<{mail_from}>".encode(), command_s)))
    if told.good:
        told = Told(stage=Stage.RCPT, reply=reply_from(*await wire.ask(f"RCPT TO:<{to}>".encode(), command_s)))
    await wire.ask(b"RSET", command_s)
    return told


def _letter(mail_from: str, to: str, data: bytes) -> Letter:
    now_ms = time.time_ns() // 1_000_000
    message = NewMessage(
        id="00000000-0000-7000-8000-000000000000",
        client="check",
        plan="",
        mail_from=mail_from,
        header_from=mail_from,
        tenant="",
        recipients=(Recipient(address=to, direction=Direction.INTERNAL),),
        size_bytes=len(data),
        received_ms=now_ms,
        expires_ms=now_ms,
        message_id="",
        no_bounce=True,
    )
    queued = Queued(
        index=0,
        address=to,
        direction=Direction.INTERNAL,
        state=RecipientState.QUEUED,
        attempts=0,
        next_attempt_ms=0,
    )
    return Letter(message=message, recipients=(queued,), body=data, mail_from=mail_from)
