"""A back door that hands mail to the simulated Microsoft Graph: real spool, budgets, tokens and HTTPS."""

from contextlib import asynccontextmanager
from pathlib import Path

from node.cluster.contract import Limits
from node.delivery.clock import wall_ms
from node.delivery.endpoint import AuthKind, Endpoint, Timings, TlsMode
from node.m365.app import TenantApp
from node.m365.entra import Entra
from node.m365.graph import Graph
from node.m365.https import Https
from node.m365.tokens import TokenSource
from node.policy.envelope import Direction
from node.policy.offers import Account, Directory, TenantWays
from node.policy.patterns import PatternSet
from node.rehearsal.simulator.directory import CLIENT, SECRET, TENANT, default_directory, read_directory
from node.rehearsal.simulator.script import read_steps
from node.rehearsal.simulator.server import Simulator
from node.settings.base import SecretRef
from node.settings.host import Egress
from node.settings.ways import graph_flow
from tests.support.delivery_room import FAST, Room, room

MAILBOXES = ("relay1", "relay2")
OPEN = {"rate": "1000000/min", "sessions": 100, "recipients": "100000000/24h"}
SCOPES = {
    "contoso": "https://outlook.office365.com/.default",
    graph_flow("contoso"): "https://graph.microsoft.com/.default",
}


def cloud(mailboxes=MAILBOXES, *, limits=None, timing=None, graph=None, app=None, boxes=None) -> Simulator:
    """The simulator; ``app`` and ``boxes`` (by mailbox) are laid over the default application and mailboxes."""
    plain = default_directory("contoso.com", mailboxes).model_dump()
    plain["limits"] |= OPEN | (limits or {})
    plain["timing"] |= timing or {}
    plain["graph"] |= graph or {}
    tenant = plain["tenants"][TENANT]
    tenant["apps"][CLIENT] |= app or {}
    for name, changes in (boxes or {}).items():
        tenant["mailboxes"][f"{name}@contoso.com"] |= changes
    return Simulator(read_directory(plain, "test"))


def script(simulator: Simulator, *steps: dict) -> None:
    simulator.hub.script.set(read_steps(list(steps), "test"))


def endpoint(simulator: Simulator, mailbox: str, path: str = "graph", **more) -> Endpoint:
    scope = f"contoso/{mailbox}@contoso.com"
    values = {
        "way": f"{path}:{scope}",
        "path": path,
        "account": scope,
        "tenant": "contoso",
        "host": "localhost",
        "port": simulator.graph_port if path == "graph" else simulator.smtp_port,
        "user": f"{mailbox}@contoso.com",
        "connections": 2,
        "slotted": True,
        "metered": True,
        "helo": "relay.contoso.com",
        "timings": Timings(connect_s=5, banner_s=5, command_s=5, data_s=5, dot_s=5),
    }
    if path == "graph":
        values |= {"graph": simulator.graph_url, "token_flow": graph_flow("contoso"), "tls": TlsMode.IMPLICIT}
    else:
        values |= {"auth": AuthKind.XOAUTH2}
    return Endpoint(**values | more)


def ways(kinds, mailboxes, **more) -> Directory:
    accounts = tuple(
        Account(
            scope=f"contoso/{name}@contoso.com",
            mailbox=f"{name}@contoso.com",
            send_as=PatternSet(("*@contoso.com",)),
            size_bytes=35 << 20,
        )
        for name in mailboxes
    )
    tenant = TenantWays(name="contoso", domains=frozenset({"contoso.com"}), accounts=accounts, graph=True)
    return Directory(tenants={"contoso": tenant}, routes={Direction.INTERNAL: kinds, Direction.EXTERNAL: kinds}, **more)


def tokens_of(simulator: Simulator, home: Path, *, now_ms=wall_ms, **changes) -> TokenSource:
    secret = home / "secret"
    secret.write_text(SECRET)
    common = {
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "authority": simulator.authority_url,
        "secret": SecretRef(file=secret),
        **changes,
    }
    apps = {name: TenantApp(scope=scope, **common) for name, scope in SCOPES.items()}
    return TokenSource(apps, Entra(Egress(ca=simulator.ca_file)), now_ms=now_ms)


@asynccontextmanager
async def graph_room(
    tmp_path, simulator: Simulator, *, kinds=("graph",), mailboxes=MAILBOXES, rebuild=(), app=None, root="",
    answers_s=5.0, **more,
):  # fmt: skip
    """A room whose ways lead to the simulator, or to another ``root`` of Graph, with real tokens.

    ``answers_s``: how long answers are waited for; long where a busy machine must not lose one.
    """
    from node.tls.client import client_context

    context = client_context(simulator.ca_file)
    changes = {"graph": {"graph": root or simulator.graph_url}}
    waits = dict.fromkeys(("connect_s", "banner_s", "command_s", "data_s", "dot_s"), answers_s)
    timed = {"timings": Timings(**waits)}
    endpoints = [
        endpoint(simulator, name, kind, **timed, **changes.get(kind, {"context": context}))
        for kind in kinds
        for name in mailboxes
    ]
    graph = Graph(Https(Egress(ca=simulator.ca_file), connections=16))
    tokens = tokens_of(simulator, tmp_path, **(app or {}))
    limits = {one.account: Limits(messages=0, window_s=60.0, recipients_24h=0, sessions=3) for one in endpoints}
    try:
        async with room(
            tmp_path,
            *endpoints,
            tokens=tokens,
            graph=graph,
            directory=ways(kinds, mailboxes, rebuild_plans=frozenset(rebuild)),
            **{"limits": limits, **more},
        ) as back:
            yield back
    finally:
        await tokens.close()
        await graph.close()


__all__ = ("FAST", "Room", "cloud", "graph_room", "script")
