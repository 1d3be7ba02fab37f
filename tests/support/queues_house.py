"""Three nodes' queues as one: real spools, real copy stores and the real channel between them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from node.admin.access import Role, Token
from node.admin.trust import Trust
from node.app.answers import ANSWER_MAX
from node.app.everywhere import Queues
from node.app.hiding import Hiding
from node.app.history import History
from node.policy.proof import Credential, of_token
from node.shadow.sqlite import SqliteCopies
from node.spool.sqlite import SqliteSpool
from tests.support.peers import NODES, PeerHouse
from tests.support.spool_mail import BODY, T0, accepted, message

SPOOLS = {name: f"{number}" * 8 + "-1111-4111-8111-111111111111" for number, name in enumerate(NODES, 1)}
ROLES = {"reader": Role.VIEWER, "alice": Role.OPERATOR, "dpo": Role.ADMIN}


def credential(name: str) -> Credential:
    """What one of ROLES, or a stranger, signs with."""
    return of_token(f"the token of {name}")


TOKENS = tuple(
    Token(name=name, digest=name, role=role, until_ms=1 << 60, key=credential(name).key) for name, role in ROLES.items()
)


class QueuesNode:
    """One node; ``usable`` and ``noted`` are what a test says, ``told`` is its audit."""

    def __init__(self, home: Path, name: str, peers) -> None:
        self.name = name
        self.spool = SqliteSpool(home / name, now_ms=lambda: T0)
        self.copies = SqliteCopies(home / name / "copies")
        self.usable, self.noted, self.woken = True, set(), 0
        self.owners, self.hiding, self.told = {}, Hiding(), []
        self.trust = Trust("test", name, TOKENS)
        self.queues = Queues(
            name, self.spool, copies=self.copies, noted=self.noted.__contains__, usable=lambda: self.usable,
            woken=self._woken, peers=peers,
            owner_of=lambda pair: self.owners.get(pair, ""), others=lambda: [each for each in NODES if each != name],
            hiding=self.hiding, trust=self.trust, tell=self._tell,
        )  # fmt: skip

        self.history = History(
            name, self.spool, copies=self.copies, usable=lambda: self.usable, peers=peers,
            others=lambda: [each for each in NODES if each != name],
            hiding=self.hiding,
        )  # fmt: skip

    async def _tell(self, entry) -> None:
        self.told.append(entry)

    def _woken(self) -> None:
        self.woken += 1

    async def __aenter__(self):
        await self.spool.open(T0)
        await self.copies.open(T0)
        return self

    async def __aexit__(self, *_) -> None:
        await self.copies.close()
        await self.spool.close()

    def attached(self, shadow: str) -> Attached:
        return Attached(key=PairKey(spool=SPOOLS[self.name], shadow=shadow), epoch=1)

    async def put(self, shadow: str = "", *, confirmed: bool = False, also: dict | None = None, **facts):
        """Accept a message, under a pairing with *shadow*; confirmed: it is known to be there too."""
        made, number = msgspec.structs.replace(message(**facts), **also or {}), 0
        if shadow:
            pair = self.attached(shadow)
            number = await self.spool.attach(pair.key.spool, pair.key.shadow, pair.epoch)
        await self.spool.append(msgspec.structs.replace(accepted(made), pairing=number))
        if confirmed:
            await self.spool.confirm(number, [made.id])
        return made

    async def keep_of(self, owner: "QueuesNode", made) -> Attached:
        """Keep a copy of what *owner* has, as it stands there."""
        pair = owner.attached(self.name)
        number = await owner.spool.attach(pair.key.spool, pair.key.shadow, pair.epoch)
        standing = [each for each in await owner.spool.standing(number, "", 1_000) if each.message.id == made.id]
        await self.copies.keep(pair, owner.name, [(each, BODY) for each in standing])
        return pair


class QueuesHouse:
    """``async with QueuesHouse(root) as house``: ``house.nodes`` by name."""

    def __init__(self, root: Path) -> None:
        self.root, self.peers, self.closing = root, PeerHouse(root / "pki"), AsyncExitStack()
        self.nodes: dict[str, QueuesNode] = {}
        self.servers = {}

    async def __aenter__(self):
        for name in NODES:
            node = QueuesNode(self.root, name, self.peers.client(name, answer_max=ANSWER_MAX))
            self.nodes[name] = await self.closing.enter_async_context(node)
            self.servers[name] = await self.peers.server(name, node.queues.routes() | node.history.routes())
        return self

    async def __aexit__(self, *_) -> None:
        await self.peers.closing.aclose()
        await self.closing.aclose()

    async def gone(self, name: str) -> None:
        await self.servers[name].close()

    def hang(self, name: str) -> asyncio.Event:
        """Let a node take questions and answer none; gives what is set when it was asked."""
        asked = asyncio.Event()

        async def never(_caller: str, _body: bytes) -> bytes:
            asked.set()
            await asyncio.Event().wait()
            return b""

        self.servers[name]._routes = dict.fromkeys(self.nodes[name].queues.routes(), never)
        return asked
