"""A real administration server on a Unix socket with a real spool; the rest of the node is a small Control."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from node.admin.control import ClientView, LevelView, Readiness, Status, WayView
from node.admin.server import AdminServer
from node.admin.truth import TruthView
from node.app.control import NothingToRelease
from node.app.erasing import Command, Erasures, Said, left
from node.app.everywhere import Queues
from node.app.history import History
from node.cluster.contract import BudgetUse
from node.policy.explain import Question, RouteAnswer, explain
from node.policy.health import HealthBook
from node.settings.rules import intake_rules
from node.settings.ways import directory_of
from node.spool.sqlite import SqliteSpool
from tests.support.settings_files import CLIENTS, TENANT, loaded
from tests.support.spool_mail import T0, accepted, message


class NoReports:
    """No mailbox is read and nothing was kept aside."""

    async def view(self, limit: int) -> TruthView:
        return TruthView(return_path={}, mailboxes=(), kept=(), suppression="off", suppressed=())

    async def content(self, number: int) -> bytes | None:
        return None

    async def unsuppress(self, address: str) -> bool:
        return False


@dataclass
class SmallControl:
    """Answers what the interface asks; parks and resumes a set of names."""

    spool: SqliteSpool
    settings: object
    ready: Readiness = field(default_factory=lambda: Readiness(ready=True))
    accounts: set[str] = field(default_factory=lambda: {"contoso/relay1@contoso.com"})
    parked: dict[str, tuple[str, str]] = field(default_factory=dict)
    woken: int = 0
    cluster: object = None
    quarantined: bool = False
    truth: NoReports = field(default_factory=NoReports)

    def __post_init__(self) -> None:
        self.everywhere = Queues("n1", self.spool, woken=self.wake)
        self.history = History("n1", self.spool)
        kept = Path("nowhere") if self.spool is None else self.spool.directory / "kept"
        self.erasures = Erasures("n1", kept, self._erase, lambda text: f"hash of {len(text)}")

    async def find(self, which):
        return await self.spool.find(which)

    async def message(self, message_id: str):
        return await self.spool.journey(message_id)

    async def erase(self, address: str, actor: str) -> int:
        return await self.spool.erase(address, actor, T0)

    async def _erase(self, command: Command) -> Said:
        return Said(
            changed=await self.erase(command.address, command.actor), waiting=await left(self.spool, None, command)
        )

    def release_spool(self) -> None:
        if not self.quarantined:
            raise NothingToRelease("this node's spool is not quarantined")
        self.quarantined = False

    async def finalise(self, why: str, actor: str) -> LevelView:
        if self.cluster is not None:
            await self.cluster.level.finalise(why, actor)
        level = self.cluster.level.now().level if self.cluster is not None else 1
        return LevelView(level=level, oldest=1, newest=2, protocol=1, schema=3, schema_due=3)

    def readiness(self) -> Readiness:
        return self.ready

    async def status(self) -> Status:
        counts = await self.spool.count()
        return Status(
            node="n1",
            version="0",
            started_ms=T0,
            readiness=self.ready,
            listeners={"smtp": "127.0.0.1:2525"},
            by_state=counts.by_state,
            oldest_received_ms=counts.oldest_received_ms,
            body_bytes=counts.body_bytes,
            attempts=0,
            connections=0,
            ways=tuple(self.ways()),
            configuration="cafe",
        )

    def ways(self) -> list[WayView]:
        return [
            WayView(
                path="submission",
                account=name,
                tenant="contoso",
                state="parked" if name in self.parked else "healthy",
                reason=self.parked.get(name, ("", ""))[0],
            )
            for name in sorted(self.accounts)
        ]

    async def park(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        if account in self.accounts:
            self.parked[account] = (why, actor)
        return account in self.accounts

    async def resume(self, account: str, why: str, actor: str, *, here: bool = False) -> bool:
        self.parked.pop(account, None)
        return account in self.accounts

    def route(self, question: Question) -> RouteAnswer:
        rules, directory = intake_rules(self.settings, "n1"), directory_of(self.settings)
        return explain(question, rules, directory, HealthBook(), {}, T0, plans=self.settings.plans)

    def budgets(self) -> list[BudgetUse]:
        return [BudgetUse(scope="contoso/relay1@contoso.com", kind="permits", limit=30, used=3, window_s=60.0)]

    def clients(self) -> list[ClientView]:
        return [ClientView(client="apps", last_seen_ms=T0, messages=3, weaknesses={"old_tls": 2}, addresses=("::1",))]

    def wake(self) -> None:
        self.woken += 1

    def metrics(self) -> bytes:
        return b"# HELP relay_x x\n"


@dataclass
class AdminHouse:
    """The server, its control and a client session on the socket."""

    server: AdminServer
    control: SmallControl
    socket: Path
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **more) -> tuple[int, object]:
        async with self.http.request(method, f"http://localhost{path}", **more) as answer:
            return answer.status, await answer.json()

    async def put(self, **facts):
        made = message(**facts)
        await self.control.spool.append(accepted(made))
        return made


@contextlib.asynccontextmanager
async def admin_house(tmp_path, **server_options):
    spool = SqliteSpool(tmp_path / "spool", now_ms=lambda: T0)
    await spool.open(T0)
    control = SmallControl(spool, loaded(tmp_path, TENANT + CLIENTS).settings)
    server, socket = AdminServer(control, **server_options), tmp_path / "admin.sock"
    await server.start_socket(socket)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as http:
            yield AdminHouse(server, control, socket, http)
    finally:
        await server.close()
        await spool.close()
