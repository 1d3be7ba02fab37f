"""The queues of all nodes as one: each answers for its own spool over the peer channel, the node asked gathers.

Nothing is moved or decided here. A node that does not answer in time is named; what it has is not guessed. An action is
carried out by the node that has the message, in the name of who asked.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.peers.contract import Handler, Peers
from node.admin.everywhere import FORM, ROUNDS_MAX, Action, Done, Found, Gathered, Order, Place
from node.app.answers import Answer, answered
from node.delivery.clock import wall_ms
from node.policy.envelope import Copies as Wanted
from node.policy.envelope import RecipientState
from node.shadow.contract import Copies
from node.shadow.showing import kept_of, kept_view, past_view
from node.spool.contract import Filter, MessageView
from node.spool.paired import Looked, PairedSpool
from node.spool.rows import Unreadable

FIND, TRACE, ACT = "queue-find", "queue-trace", "queue-act"
"""Routes of the peer channel."""
FIND_MAX: Final = 1_000
"""Messages one node gives at once."""
WAIT_S: Final = 1.0
ACT_WAIT_S: Final = 6.0
ACT_S: Final = 4.0
"""How long one node acts on one order before it says that there may be more."""
NOT_IN_USE: Final = "its spool is not in use: act there with --here, or wait"
_log = logging.getLogger(__name__)
T = TypeVar("T")


class NotAsked(CoordinatorError):  # noqa: N818 - a state of affairs
    """A question that cannot be answered; the text says why."""

    temporary = False


class Queues:
    """Implements ``node.admin.everywhere.Everywhere``; ``routes`` answers the other nodes."""

    def __init__(
        self,
        node: str,
        spool: PairedSpool,
        *,
        copies: Copies | None = None,
        noted: Callable[[str], bool] = lambda _message_id: False,
        usable: Callable[[], bool] = lambda: True,
        woken: Callable[[], None] = lambda: None,
        peers: Peers | None = None,
        others: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """``noted``: whether a copy is made of which the spool hears in a moment; ``others``: the other nodes.

        ``usable``: whether the spool is in use; ``woken``: look for due mail now.
        """
        self._node, self._spool, self._copies, self._noted = node, spool, copies, noted
        self._usable, self._woken, self._peers, self._others = usable, woken, peers, others

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {FIND: self._answer_find, TRACE: self._answer_trace, ACT: self._answer_act}

    # ---- asked by an operator here -----------------------------------------------------------------------------------

    async def find(self, which: Filter, *, here: bool = False) -> Gathered:
        """See Everywhere."""
        mine, (others, missing) = await asyncio.gather(
            self._found(which), self._ask(FIND, which, Answer, WAIT_S, here=here)
        )
        found = [*mine, *(each for answer in others.values() for each in answer.messages)]
        found.sort(key=lambda each: (each.message.received_ms, each.message.id), reverse=True)
        return Gathered(messages=tuple(found[: which.limit]), missing=missing | _cut(others))

    async def trace(self, message_id: str, *, here: bool = False) -> Gathered:
        """See Everywhere."""
        mine, (others, missing) = await asyncio.gather(
            self._traced(message_id), self._ask(TRACE, message_id, Answer, WAIT_S, here=here)
        )
        found = [*mine, *(each for answer in others.values() for each in answer.messages)]
        return Gathered(messages=tuple(sorted(found, key=_rank)), missing=missing | _cut(others))

    async def act(self, order: Order) -> Done:
        """See Everywhere."""
        (others, missing), here = await asyncio.gather(
            self._ask(ACT, order, Done, ACT_WAIT_S), self._act_if_in_use(order)
        )
        done = others if here is None else {**others, self._node: here}
        if here is None:
            missing[self._node] = NOT_IN_USE
        return Done(
            changed=sum(each.changed for each in done.values()),
            more=any(each.more for each in done.values()),
            by_node={node: each.changed for node, each in sorted(done.items()) if each.changed},
            missing=missing,
        )

    async def _act_if_in_use(self, order: Order) -> Done | None:
        return await self.act_here(order) if self._usable() else None

    async def act_here(self, order: Order) -> Done:
        """See Everywhere; raises what the spool raises."""
        until_s = time.monotonic() + ACT_S
        changed, more = 0, False
        for which, rounds in _parts(order):
            number, left = await self._repeated(order, which, rounds, until_s)
            changed, more = changed + number, more or left
        self._woken()
        return Done(changed=changed, more=more, by_node={self._node: changed} if changed else {})

    async def _repeated(self, order: Order, which: Filter, rounds: int, until_s: float) -> tuple[int, bool]:
        """Act until nothing is left to change, or a bound is reached (the second value: there may be more)."""
        spool, changed, now_ms = self._spool, 0, wall_ms()
        act = {Action.HOLD: spool.hold, Action.RELEASE: spool.release, Action.DELETE: spool.delete}[order.action]
        for _ in range(rounds):
            number = await act(which, order.actor, order.reason, now_ms)
            changed += number
            if not number or rounds == 1:
                return changed, False
            if time.monotonic() > until_s:
                break
        return changed, True

    # ---- asked by another node ---------------------------------------------------------------------------------------

    async def _answer_find(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - all members may ask
        return answered(await self._found(_read(body, Filter)))

    async def _answer_trace(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - as above
        return answered(await self._traced(_read(body, str)))

    async def _answer_act(self, caller: str, body: bytes) -> bytes:
        asked = _read(body, Order)
        if asked.form != FORM:
            raise NotAsked(f"not understood: an order of form {asked.form}, not {FORM}")
        if not self._usable():
            raise NotAsked(NOT_IN_USE)
        order = msgspec.structs.replace(asked, actor=f"{asked.actor[:64]} at {caller}")
        done = await self.act_here(order)
        if done.changed:
            detail = {"action": order.action, "changed": done.changed, "actor": order.actor, "why": order.reason}
            _log.warning("queue changed", extra=detail)
        return msgspec.json.encode(done)

    # ---- what is here ------------------------------------------------------------------------------------------------

    async def _found(self, which: Filter) -> list[Found]:
        bounded = msgspec.structs.replace(which, limit=max(0, min(which.limit, FIND_MAX)))
        return await self._shown(await self._spool.find(bounded))

    async def _traced(self, message_id: str) -> list[Found]:
        """Give one message from the spool, and from the copy store; at most one of each."""
        view = await self._spool.journey(message_id)
        found = await self._shown([view]) if view is not None else []
        return found + await self._kept(message_id)

    async def _shown(self, views: list[MessageView]) -> list[Found]:
        place = Place.SPOOL if self._usable() else Place.SHUT
        peered = self._copies is not None and place is Place.SPOOL
        looked = await self._spool.look([each.message.id for each in views]) if peered and views else {}
        return [self._of(each, place, self._protected(each, looked)) for each in views]

    def _protected(self, view: MessageView, looked: Mapping[str, Looked]) -> bool | None:
        message, found = view.message, looked.get(view.message.id)
        if found is None or found.finished or view.finished_ms or message.copies is Wanted.ONE:
            return None
        return bool(found.pairing) and (found.confirmed or self._noted(message.id))

    async def _kept(self, message_id: str) -> list[Found]:
        if self._copies is None:
            return []
        try:
            row = await kept_of(self._copies, message_id)
            if row is not None:
                return [self._of(kept_view(row), Place.COPY, None)]
            past = await self._copies.past(message_id)
            return [self._of(past_view(past), Place.PAST, None)] if past is not None else []
        except Unreadable as error:
            _log.warning("a copy cannot be read", extra={"queue_id": message_id, "cause": str(error)})
            return []

    def _of(self, view: MessageView, place: Place, protected: bool | None) -> Found:
        return Found(
            message=view.message,
            recipients=view.recipients,
            lines=view.lines,
            finished_ms=view.finished_ms,
            node=self._node,
            place=place,
            protected=protected,
        )

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def _ask(
        self, route: str, question: object, kind: type[T], wait_s: float, *, here: bool = False
    ) -> tuple[dict[str, T], dict[str, str]]:
        """Ask all others at once, nobody if only what is ``here`` is wanted; answers, and why there is none."""
        if self._peers is None or here:
            return {}, {}
        peers, nodes, body = self._peers, list(self._others()), msgspec.json.encode(question)
        asked = (_asked(peers.ask(node, route, body, timeout_s=wait_s), kind) for node in nodes)
        found = dict(zip(nodes, await asyncio.gather(*asked), strict=True))
        missing = {node: answer for node, answer in found.items() if isinstance(answer, str)}
        return {node: answer for node, answer in found.items() if not isinstance(answer, str)}, missing


async def _asked(answer: Awaitable[bytes], kind: type[T]) -> T | str:
    """Give an answer, or why there is none."""
    try:
        return msgspec.json.decode(await answer, type=kind)
    except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error)[:200] or type(error).__name__


def _parts(order: Order) -> list[tuple[Filter, int]]:
    """Say what to act on, and how often: what is released stays queued, and is not to be released again and again."""
    which, rounds = order.which, min(order.rounds, ROUNDS_MAX)
    if order.action is not Action.RELEASE or rounds == 1:
        return [(which, rounds)]
    states = which.states or tuple(RecipientState)
    queued = tuple(state for state in states if state is RecipientState.QUEUED)
    parts = ((queued, 1), (tuple(state for state in states if state not in queued), rounds))
    return [(msgspec.structs.replace(which, states=some), often) for some, often in parts if some]


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAsked(f"not understood: {error}") from None


def _cut(answers: Mapping[str, Answer]) -> dict[str, str]:
    return {node: "has more than one answer holds: ask there with --here" for node, each in answers.items() if each.cut}


def _rank(found: Found) -> tuple[int, int]:
    """Order what nodes have of one message: live mail first, then whoever knows how it ended, then copies."""
    live = found.place is Place.SPOOL and not found.finished_ms
    order = (Place.SPOOL, Place.COPY, Place.PAST, Place.SHUT)
    return 0 if live else 1 + order.index(found.place), -len(found.lines)
