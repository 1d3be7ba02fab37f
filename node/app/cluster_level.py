"""The level in force in a node's cluster, and an operator's word that raises it: all others are asked first."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.keys import decode, encode
from coordinator.peers.contract import Handler, PeerError, Peers
from coordinator.store.contract import StoreError
from coordinator.versions.finalise import Finaliser, Word
from coordinator.versions.keeper import VersionKeeper
from coordinator.versions.record import Settled
from node.admin.cluster import ClusterUnreachableError
from node.errors import PermanentError

ROUTE: Final = "level"
"""Route of the peer channel: which levels does the process that answers know?"""
ASK_S: Final = 1.0


class NotFinalised(PermanentError):  # noqa: N818 - a state of affairs
    """The newer level was not put in force; the text says what stands in the way."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself."""

    version: str
    levels: tuple[int, int]


class ClusterLevel:
    """Implements ``upgrades.Levels`` for a node of a cluster; ``answer`` serves ROUTE."""

    def __init__(self, node: str, finaliser: Finaliser, peers: Peers) -> None:
        """Keep the parts."""
        self._node, self._finaliser, self._peers = node, finaliser, peers

    @property
    def versions(self) -> VersionKeeper:
        """What is known of the level in force."""
        return self._finaliser.versions

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {ROUTE: self.answer}

    async def answer(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - a ``Handler``; the question is empty
        """Answer another node."""
        release = self.versions.release
        return encode(Answer(version=release.version, levels=release.span))

    async def begin(self) -> int:
        """See Levels."""
        return await self.versions.learn()

    def now(self) -> Settled:
        """See Levels."""
        return self.versions.settled or Settled(level=self.versions.level)

    async def finalise(self, reason: str, actor: str) -> None:
        """See Levels; raises ClusterUnreachableError too."""
        word = Word(node=self._node, actor=actor, reason=reason)
        try:
            await self._finaliser.finalise(await self._silent(), word)
        except StoreError as error:
            raise ClusterUnreachableError(f"the cluster's store: {error}") from None
        except CoordinatorError as error:
            raise NotFinalised(str(error)) from None

    async def _silent(self) -> Mapping[str, str]:
        """Ask all other nodes; those that do not answer, and why."""
        others = [node for node in self._finaliser.nodes() if node != self._node]
        said = await asyncio.gather(*map(self._ask, others))
        return {node: why for node, why in zip(others, said, strict=True) if why}

    async def _ask(self, node: str) -> str:
        try:
            answer = await self._peers.ask(node, ROUTE, b"", timeout_s=ASK_S)
        except PeerError as error:
            return str(error)
        target = self.versions.release.newest
        said = decode(answer, Answer)
        if said is None:
            return "its answer cannot be read"
        return "" if said.levels[0] <= target <= said.levels[1] else f"it says it does not know level {target}"
