"""Speaks with the other coordinators: heartbeats to each, promises asked and given, status for ``relayctl``."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from coordinator.keys import decode, encode
from coordinator.peers.contract import Handler, PeerError, Peers
from coordinator.runner import boottime_ms

PROMISE, HEARTBEAT, EARLY, STATUS = "promise", "heartbeat", "early", "status"
PROMISE_S: Final = 1.0
HEARTBEAT_S: Final = 1.0
"""How often each peer is asked, only to know who hears whom."""
ANSWER_S: Final = 1.0


class _Question(msgspec.Struct, frozen=True, kw_only=True):
    address: str


class _Promise(msgspec.Struct, frozen=True, kw_only=True):
    given: bool


class Peering:
    """One coordinator among the others."""

    def __init__(
        self,
        node: str,
        peers: Peers,
        nodes: Callable[[], Collection[str]],
        *,
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """``nodes``: everybody of the cluster, ourselves among them."""
        self._node, self._peers, self._nodes, self._now_ms = node, peers, nodes, now_ms
        self._heard_ms: dict[str, int] = {}
        self._errors: dict[str, str] = {}

    @property
    def others(self) -> tuple[str, ...]:
        """Everybody else."""
        return tuple(sorted(set(self._nodes()) - {self._node}))

    def heard_ms(self, node: str) -> int | None:
        """Say how long ago a peer last answered; None: never."""
        heard_ms = self._heard_ms.get(node)
        return None if heard_ms is None else self._now_ms() - heard_ms

    def error(self, node: str) -> str:
        """Say why the last question got no answer; empty when it got one."""
        return self._errors.get(node, "")

    async def ask_promise(self, node: str, name: str) -> bool:
        """Ask a node to promise an address (``asking.Ask``)."""
        answer = await self._ask(node, PROMISE, encode(_Question(address=name)), PROMISE_S)
        promise = decode(answer, _Promise) if answer is not None else None
        return promise is not None and promise.given

    async def run(self) -> None:
        """Keep in touch with everybody until cancelled; a peer that hangs delays no other."""
        talking: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                others = self.others
                for node in [node for node in talking if node not in others]:
                    talking.pop(node).cancel()
                for node in others:
                    if node not in talking:
                        talking[node] = asyncio.create_task(self._keep_in_touch(node))
                await asyncio.sleep(HEARTBEAT_S)
        finally:
            for task in talking.values():
                task.cancel()
            await asyncio.gather(*talking.values(), return_exceptions=True)

    async def _keep_in_touch(self, node: str) -> None:
        while True:
            await self._ask(node, HEARTBEAT, b"{}", ANSWER_S)
            await asyncio.sleep(HEARTBEAT_S)

    async def _ask(self, node: str, route: str, body: bytes, timeout_s: float) -> bytes | None:
        """Ask; None without an answer."""
        try:
            answer = await self._peers.ask(node, route, body, timeout_s=timeout_s)
        except PeerError as error:
            self._errors[node] = str(error)
            return None
        self._heard_ms[node] = self._now_ms()
        self._errors.pop(node, None)
        return answer


def routes(promise: Callable[[str, str], bool], status: Callable[[], bytes]) -> Mapping[str, Handler]:
    """Give the routes of a coordinator. ``promise`` takes address and asker, ``status`` gives the page."""

    async def promised(asker: str, body: bytes) -> bytes:
        question = decode(body, _Question)
        return encode(_Promise(given=question is not None and promise(question.address, asker)))

    async def heard(_asker: str, _body: bytes) -> bytes:
        return b"{}"

    async def page(_asker: str, _body: bytes) -> bytes:
        return status()

    return {PROMISE: promised, HEARTBEAT: heard, STATUS: page}
