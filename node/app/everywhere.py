"""The queues of all nodes as one: each answers for its own spool over the peer channel, the node asked gathers.

Nothing is moved or decided here. A node that does not answer in time is named; what it has is not guessed. An action is
carried out by the node that has the message, in the name of who asked.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.ownership.rows import Attached
from coordinator.peers.contract import Handler, Peers
from node.admin.access import Role
from node.admin.everywhere import FORM, ROUNDS_MAX, Action, Done, Found, Gathered, Order, Place
from node.admin.trust import UNPROVEN, Trust
from node.app.answers import Answer, answered, best, found_of, rank
from node.app.hiding import Hiding
from node.app.kept import Away, Kept, bounded
from node.delivery.clock import wall_ms
from node.errors import RelayError
from node.policy.envelope import Copies as Wanted
from node.policy.envelope import RecipientState
from node.policy.proof import Credential, Signed
from node.shadow.contract import Copies
from node.spool.contract import Filter, MessageView
from node.spool.paired import Looked, PairedSpool

FIND, KEPT, TRACE, ACT = "queue-find", "queue-find-kept", "queue-trace", "queue-act"
"""Routes of the peer channel."""
WAIT_S: Final = 1.0
ACT_WAIT_S: Final = 6.0
ACT_S: Final = 4.0
"""How long one node acts on one order before it says that there may be more."""
MORE: Final = "has more than one answer holds: ask there with --here, or for less"
NOT_IN_USE: Final = "its spool is not in use: act there with --here, or wait"
Tell = Callable[[dict[str, object]], Awaitable[None]]
_log = logging.getLogger(__name__)


async def _nowhere(_entry: dict[str, object]) -> None:
    """Nothing is audited."""


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
        owner_of: Callable[[Attached], str] = lambda _attached: "",
        noted: Callable[[str], bool] = lambda _message_id: False,
        usable: Callable[[], bool] = lambda: True,
        woken: Callable[[], None] = lambda: None,
        peers: Peers | None = None,
        others: Callable[[], Iterable[str]] = tuple,
        hiding: Hiding | None = None,
        trust: Trust | None = None,
        tell: Tell = _nowhere,
    ) -> None:
        """``noted``: whether a copy is made of which the spool hears in a moment; ``others``: the other nodes.

        ``owner_of``: who owns the mail of a pairing, empty if that is not known; ``usable``: whether the spool is in
        use; ``woken``: look for due mail now; ``trust``: tells who ordered what another node asks, None: nobody may;
        ``tell``: write into the audit.
        """
        self._trust, self._tell = trust, tell
        self._node, self._spool, self._peered, self._noted = node, spool, copies is not None, noted
        self._hiding = hiding or Hiding()
        self._kept = Kept(node, copies, owner_of, self._hiding)
        self._usable, self._woken, self._peers, self._others = usable, woken, peers, others

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {
            FIND: self._answer_find,
            KEPT: self._answer_kept,
            TRACE: self._answer_trace,
            ACT: self._answer_act,
        }

    # ---- asked by an operator here -----------------------------------------------------------------------------------

    async def find(self, which: Filter, *, here: bool = False) -> Gathered:
        """See Everywhere."""
        mine, (others, missing) = await asyncio.gather(
            self._found(which), self._ask(FIND, which, Answer, WAIT_S, here=here)
        )
        answers = {self._node: [mine], **{node: [each] for node, each in others.items()}}
        if missing:  # what they have others keep too
            for node, each in (await self._kept_everywhere(which, tuple(missing))).items():
                answers[node].append(each)
        found = [each for of_node in answers.values() for each in of_node]
        return Gathered(messages=best(found, which.limit), missing=missing | _cut(answers))

    async def _kept_everywhere(self, which: Filter, away: tuple[str, ...]) -> dict[str, Answer]:
        """Give what those that are there keep of mail of those that are not; who does not answer now has nothing."""
        question = Away(which=which, owners=away)
        mine, (others, _) = await asyncio.gather(
            self._kept.of(which, away), self._ask(KEPT, question, Answer, WAIT_S, but=away)
        )
        return {self._node: mine, **others}

    async def trace(self, message_id: str, *, here: bool = False) -> Gathered:
        """See Everywhere."""
        mine, (others, missing) = await asyncio.gather(
            self._traced(message_id), self._ask(TRACE, message_id, Answer, WAIT_S, here=here)
        )
        found = [*mine, *(each for answer in others.values() for each in answer.messages)]
        cut = _cut({node: [each] for node, each in others.items()})
        return Gathered(messages=tuple(sorted(found, key=rank)), missing=missing | cut)

    async def act(self, order: Order, credential: Credential | None = None) -> Done:
        """See Everywhere."""
        (others, missing), here = await asyncio.gather(self._ordered(order, credential), self._act_if_in_use(order))
        done = others if here is None else {**others, self._node: here}
        if here is None:
            missing[self._node] = NOT_IN_USE
        return Done(
            changed=sum(each.changed for each in done.values()),
            more=any(each.more for each in done.values()),
            by_node={node: each.changed for node, each in sorted(done.items()) if each.changed},
            missing=missing,
        )

    async def _ordered(self, order: Order, credential: Credential | None) -> tuple[dict[str, Done], dict[str, str]]:
        """Carry an order on to the others, with the proof of who gives it to each of them."""
        if self._peers is None or self._trust is None or credential is None:
            return {}, dict.fromkeys(self._others() if self._peers is not None else (), UNPROVEN)
        body, trust = msgspec.json.encode(order), self._trust
        return await self._ask(ACT, lambda node: trust.signed(credential, node, ACT, body), Done, ACT_WAIT_S)

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

    async def _answer_kept(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - as above
        asked = _read(body, Away)
        return answered(await self._kept.of(asked.which, asked.owners))

    async def _answer_trace(self, caller: str, body: bytes) -> bytes:  # noqa: ARG002 - as above
        return answered(Answer(messages=tuple(await self._traced(_read(body, str)))))

    async def _answer_act(self, caller: str, body: bytes) -> bytes:
        if self._trust is None:
            raise NotAsked(UNPROVEN)
        signed = _read(body, Signed)
        asked = _read(signed.body, Order)
        if asked.form != FORM:
            raise NotAsked(f"not understood: an order of form {asked.form}, not {FORM}")
        if not self._usable():
            raise NotAsked(NOT_IN_USE)
        try:
            who = await self._trust.once(caller, ACT, signed, Role.OPERATOR)
        except RelayError as error:
            raise NotAsked(str(error)) from None
        order = msgspec.structs.replace(asked, actor=f"{who.name[:64]} at {caller}")
        done = await self.act_here(order)
        if done.changed:
            facts = {"action": order.action.value, "changed": done.changed, "why": order.reason}
            _log.warning("queue changed", extra={**facts, "actor": order.actor})
            if asked.actor != who.name:  # he approved another's wish, by the word of the node that asks
                facts["asked_by"] = asked.actor
            entry = {"actor": who.name, "role": who.role.name.lower(), "from": caller, "event": "queue changed"}
            await self._tell({**entry, "facts": facts})
        return msgspec.json.encode(done)

    # ---- what is here ------------------------------------------------------------------------------------------------

    async def _found(self, which: Filter) -> Answer:
        """Give own mail, live and past, and what is known of others' that is settled."""
        views = [view for each in self._hiding.variants(which) for view in await self._spool.find(bounded(each))]
        mine, past = await self._shown(views), await self._kept.past(which)
        return Answer(
            messages=best([Answer(messages=tuple(mine)), past], len(views) + len(past.messages)), cut=past.cut
        )

    async def _traced(self, message_id: str) -> list[Found]:
        """Give one message from the spool, and from the copy store; at most one of each."""
        view = await self._spool.journey(message_id)
        found = await self._shown([view]) if view is not None else []
        return found + await self._kept.one(message_id)

    async def _shown(self, views: list[MessageView]) -> list[Found]:
        place = Place.SPOOL if self._usable() else Place.SHUT
        peered = self._peered and place is Place.SPOOL
        looked = await self._spool.look([each.message.id for each in views]) if peered and views else {}
        return [found_of(self._hiding.view(each), self._node, place, self._protected(each, looked)) for each in views]

    def _protected(self, view: MessageView, looked: Mapping[str, Looked]) -> bool | None:
        message, found = view.message, looked.get(view.message.id)
        if found is None or found.finished or view.finished_ms or message.copies is Wanted.ONE:
            return None
        return bool(found.pairing) and (found.confirmed or self._noted(message.id))

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        route: str,
        question: object,
        kind: type[T],
        wait_s: float,
        *,
        here: bool = False,
        but: Collection[str] = (),
    ) -> tuple[dict[str, T], dict[str, str]]:
        """Ask all others at once, *but* some, nobody if only what is ``here`` is wanted; answers, and why none."""
        if self._peers is None or here:
            return {}, {}
        nodes = [node for node in self._others() if node not in but]
        peers = self._peers
        bodies = (msgspec.json.encode(question(node) if callable(question) else question) for node in nodes)
        asked = (
            _asked(peers.ask(node, route, body, timeout_s=wait_s), kind)
            for node, body in zip(nodes, bodies, strict=True)
        )
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


def _cut(answers: Mapping[str, Iterable[Answer]]) -> dict[str, str]:
    return {node: MORE for node, given in answers.items() if any(each.cut for each in given)}
