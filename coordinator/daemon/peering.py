"""Speaks with the other coordinators: heartbeats to each, promises asked and given, status for ``relayctl``."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

import msgspec

from coordinator.early_keeper import HEARTBEAT, WORD, AskWord, Heard, Heartbeat, Word
from coordinator.keys import decode, encode
from coordinator.peers.contract import Handler, PeerError, Peers
from coordinator.runner import boottime_ms

PROMISE, STATUS = "promise", "status"
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
        answer = await self.talk(node, PROMISE, encode(_Question(address=name)), PROMISE_S)
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
            await self.talk(node, HEARTBEAT, b"{}", ANSWER_S)
            await asyncio.sleep(HEARTBEAT_S)

    async def talk(self, node: str, route: str, body: bytes, timeout_s: float) -> bytes | None:
        """Ask a node anything; None without an answer in time."""
        try:
            answer = await self._peers.ask(node, route, body, timeout_s=timeout_s)
        except PeerError as error:
            self._errors[node] = str(error)
            return None
        self._heard_ms[node] = self._now_ms()
        self._errors.pop(node, None)
        return answer


class Answers(Protocol):
    """What others may ask of this coordinator."""

    def promise(self, name: str, asker: str) -> bool:
        """Promise a holder its address, or refuse."""
        ...

    def heard(self, holder: str, heartbeat: Heartbeat) -> Heard:
        """Answer a holder's heartbeat."""
        ...

    def word(self, candidate: str, question: AskWord) -> Word:
        """Give a candidate a word about a leash, or refuse."""
        ...

    async def page(self) -> bytes:
        """Give the status page."""
        ...


def routes(answers: Answers) -> Mapping[str, Handler]:
    """Give the routes of a coordinator; a question that cannot be read is refused, not an error."""

    async def promised(asker: str, body: bytes) -> bytes:
        question = decode(body, _Question)
        return encode(_Promise(given=question is not None and answers.promise(question.address, asker)))

    async def heard(asker: str, body: bytes) -> bytes:
        heartbeat = decode(body, Heartbeat)
        return encode(Heard(answered=False) if heartbeat is None else answers.heard(asker, heartbeat))

    async def word(asker: str, body: bytes) -> bytes:
        question = decode(body, AskWord)
        return encode(Word(ago_ms=None, inc=0) if question is None else answers.word(asker, question))

    async def page(_asker: str, _body: bytes) -> bytes:
        return await answers.page()

    return {PROMISE: promised, HEARTBEAT: heard, WORD: word, STATUS: page}
