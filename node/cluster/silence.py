"""The store is silent: whether everybody's word lets this node go on with what it holds, and answers to others' (§5).

While without a session this node asks all nodes of the list every 300 ms; only when *all* have answered within a
second that their own session is lost does it go on, for three seconds from the sending of that round. Before it does,
what it holds is on its disk. A node without permits asks the others for free ones; both write the move down before it
counts. On the way back it says so to all before it begins a session, and answers nobody's question with *lost* again.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from coordinator import fallback as fallbacks
from coordinator.fallback import VALID_MS, Fallback
from coordinator.peers.contract import Handler, PeerError, Peers
from node.cluster.holds import Holds
from node.cluster.limbo import Limbo
from node.cluster.notes import NotesUnreadable
from node.cluster.place import Place

_log = logging.getLogger(__name__)

ASK_MS = 300
ANSWER_S = fallbacks.ANSWER_MS / 1_000
TELL_S = 0.3
"""How long the way back waits for the others to hear of it: who does not is bound by its three seconds."""
LIMBO_MAX = 500
"""Slots asked about at once: a question stays small."""
TOKENS_MS = 2_000
"""Between two requests for the others' free permits."""


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Question of ``lost``: slots given up of which nobody knows whether they arrived."""

    limbo: list[str] = []


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to ``lost``."""

    lost: bool
    not_held: list[str] = []
    """Those of the slots asked about that we do not hold, nor will before our next session."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Question of ``tokens``: permits of a limit, and the total ever moved from the one asked to the one asking."""

    key: str
    count: int
    total: int


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Its answer: the new total."""

    total: int


class Silence:
    """Everybody's word, for one node."""

    def __init__(
        self, place: Place, holds: Holds, nodes: Callable[[], frozenset[str]], *, enabled: bool = True
    ) -> None:
        """``nodes``: the list to go by, this node too. ``enabled`` is the configuration's ``fallback``."""
        self._place, self._holds, self._nodes, self._enabled = place, holds, nodes, enabled
        self.peers: Peers | None = None
        self._fallback = Fallback(nodes=frozenset())
        self._limbo = Limbo()
        self._returning_ms = -VALID_MS
        self._noted = False
        self._asked_tokens_ms = 0
        self._asking: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[], None]] = []

    # -- asked by others

    def routes(self) -> dict[str, Handler]:
        """What peers may ask."""
        return {"lost": self._on_lost, "back": self._on_back, "tokens": self._on_tokens}

    async def _on_lost(self, node: str, body: bytes) -> bytes:  # noqa: ARG002 - all may ask
        doubt = _decoded(body, Doubt)
        lost = self._lost()
        not_held = self._holds.not_held(doubt.limbo[:LIMBO_MAX]) if lost and doubt is not None else []
        return msgspec.json.encode(Word(lost=lost, not_held=not_held))

    def _lost(self) -> bool:
        """Also not on the way back: who has said so must not be counted on for another round."""
        now_ms = self._place.boot_ms()
        returning = now_ms < self._returning_ms + VALID_MS
        return self._enabled and not returning and fallbacks.lost(self._place.session.session, now_ms)

    async def _on_back(self, node: str, body: bytes) -> bytes:  # noqa: ARG002 - as above
        self._end(f"{node} is back")
        return b"{}"

    async def _on_tokens(self, node: str, body: bytes) -> bytes:
        try:
            wish = msgspec.json.decode(body, type=Wish)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(Total(total=0))
        total = self._holds.total(wish.key, self._place.node, node)
        if self.active():
            total = await self._holds.give(wish.key, node, wish.count, at_least=wish.total)
        return msgspec.json.encode(Total(total=total))

    # -- our own

    def active(self) -> bool:
        """Whether to go on now with what was held."""
        return self._noted and fallbacks.active(self._fallback, self._place.session.session, self._place.boot_ms())

    def left_ms(self) -> int:
        """How long that lasts without another word; 0 when it is over."""
        return max(0, self._fallback.valid_until_ms - self._place.boot_ms()) if self.active() else 0

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call when the answer of ``active`` may have changed."""
        self._listeners.append(listener)

    async def returning(self) -> None:
        """Say to all that we are about to begin a session; call before the member key is written."""
        self._returning_ms = self._place.boot_ms()
        self._end("the store answers")
        told = [self._ask(node, "back", b"{}", TELL_S) for node in self._others()]
        await asyncio.gather(*told)

    async def run(self) -> None:
        """Ask while without a session, until cancelled."""
        try:
            while True:
                if self._place.live:
                    self._back_to_normal()
                elif self._enabled:
                    await self._round()
                await asyncio.sleep(ASK_MS / 1_000)
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    def _back_to_normal(self) -> None:
        if self._noted:
            self._noted = False
            self._end("a session lives")
            try:
                self._holds.forget()
            except NotesUnreadable as error:
                _log.warning("what was held during the silence is still noted: %s", error)

    async def _round(self) -> None:
        if not self._noted and not await self._note():
            return
        sent_ms = self._place.boot_ms()
        before = self.active()
        others = self._others()
        if others != self._fallback.nodes:
            self._fallback = Fallback(nodes=others)
        self._fallback = fallbacks.on_round(self._fallback, sent_ms)
        limbo = self._holds.limbo()[:LIMBO_MAX]
        self._limbo.asked(sent_ms, limbo)
        question = msgspec.json.encode(Doubt(limbo=limbo))
        for node in others:
            self._spawn(self._ask_lost(node, question, sent_ms))
        if self.active() and sent_ms >= self._asked_tokens_ms + TOKENS_MS:
            self._asked_tokens_ms = sent_ms
            self._spawn(self._ask_tokens())
        self._tell(before)

    async def _note(self) -> bool:
        """What is held goes to disk before it is used on."""
        try:
            await self._holds.note()
        except NotesUnreadable as error:
            _log.error("cannot go on while the store is silent: %s", error)
            return False
        self._noted = True
        return True

    async def _ask_lost(self, node: str, question: bytes, sent_ms: int) -> None:
        answer = await self._ask(node, "lost", question, ANSWER_S)
        word = None if answer is None else _decoded(answer, Word)
        if word is None or node not in self._fallback.nodes:
            return
        before = self.active()
        now_ms = self._place.boot_ms()
        self._fallback = fallbacks.on_answer(self._fallback, node, sent_ms, now_ms, is_lost=word.lost)
        if not word.lost:
            self._limbo.ended()
        elif back := self._limbo.told(sent_ms, node, word.not_held, self._fallback.nodes):
            await self._resume(back)
        self._tell(before)

    async def _resume(self, names: list[str]) -> None:
        try:
            await self._holds.resume(names)
        except NotesUnreadable as error:
            _log.error("cannot go on with what was given up when the store fell silent: %s", error)

    async def _ask_tokens(self) -> None:
        """Free permits of the others for limits we have work and nothing left for."""
        for key, count in self._holds.wanted():
            for node in sorted(self._others()):
                wish = Wish(key=key, count=count, total=self._holds.total(key, node, self._place.node))
                answer = await self._ask(node, "tokens", msgspec.json.encode(wish), ANSWER_S)
                total = None if answer is None else _decoded(answer, Total)
                if total is not None and total.total > wish.total and self.active():
                    await self._holds.take(key, node, total.total)
                    break

    async def _ask(self, node: str, route: str, body: bytes, timeout_s: float) -> bytes | None:
        if self.peers is None:
            return None
        try:
            return await self.peers.ask(node, route, body, timeout_s=timeout_s)
        except PeerError:
            return None

    def _others(self) -> frozenset[str]:
        return self._nodes() - {self._place.node}

    def _end(self, why: str) -> None:
        before = self.active()
        self._limbo.ended()
        self._fallback = fallbacks.ended(self._fallback)
        if before:
            _log.warning("no longer going on by everybody's word: %s", why)
        self._tell(before)

    def _tell(self, before: bool) -> None:
        if self.active() != before:
            if not before:
                _log.warning("the store is silent for all nodes: going on with what is held here")
            for listener in self._listeners:
                listener()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)


T = TypeVar("T")


def _decoded(data: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
