"""An address erased on every node: asked for here, carried out by all, asked again of whoever was away until done.

An order stands on this node's disk, with the address, before anything happens; the address goes from there when it is
done. A round asks every node. Mail that names the address and was accepted before the order is not done while it waits,
nor are copies of it; such a node is asked again. Mail may move between nodes during a round, so two rounds in a row
must find nothing left before the order ends.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
import uuid_utils

from coordinator.errors import CoordinatorError
from coordinator.peers.contract import Handler, Peers
from node.admin.access import Role
from node.admin.erasing import ErasureView
from node.admin.queries import BadRequestError
from node.admin.trust import UNPROVEN, Trust
from node.delivery.clock import wall_ms
from node.durable import read_table, write_durably
from node.errors import RelayError, TemporaryError
from node.policy.proof import ANY_NODE, Credential, Proof, Signed
from node.shadow.addresses import CLIENT, keys_of
from node.shadow.contract import Copies
from node.spool.contract import Filter, Spool
from node.spool.search import key_of

ERASE: Final = "history-erase"
"""Route of the peer channel."""
ROUND_EVERY_S: Final = 10.0
WAIT_S: Final = 10.0
OPEN_MAX: Final = 100
DONE_KEPT: Final = 50
CLEAN_ROUNDS: Final = 2
PROVEN_S: Final = 31 * 86_400.0
"""An order is carried out by nodes that were away for up to so long; later it must be given anew."""
COPIES_PAGE: Final = 1_000
FILE: Final = "erasures.json"
_log = logging.getLogger(__name__)


class OrderNotKept(TemporaryError):  # noqa: N818 - a state of affairs
    """The disk does not take the order, so nothing was erased."""


class NotErased(CoordinatorError):  # noqa: N818 - as above
    """The order cannot be read, or this node cannot carry it out now."""

    temporary = False


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What one node is asked."""

    address: str
    actor: str
    before_ms: int
    """Mail accepted before is meant."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one node did."""

    changed: int
    waiting: str = ""
    """What names the address still; empty: nothing."""


class Order(msgspec.Struct, kw_only=True):
    """An order as kept on disk."""

    view: ErasureView
    address: str = ""
    """Empty once it is done."""
    proof: Proof | None = None
    """Of who ordered it, for the other nodes; None: they are not asked."""
    clean: int = 0
    """Rounds in a row that found nothing left anywhere."""


class Erasures:
    """Implements ``node.admin.erasing.ErasureControl``; ``routes`` answers the other nodes, ``look`` is a chore."""

    def __init__(
        self,
        node: str,
        directory: Path,
        erase: Callable[[Command], Awaitable[Said]],
        digest: Callable[[str], str],
        *,
        peers: Peers | None = None,
        others: Callable[[], Iterable[str]] = tuple,
        tell: Callable[[dict[str, object]], Awaitable[None]] | None = None,
        trust: Trust | None = None,
    ) -> None:
        """``erase``: do it on this node; ``others``: the other nodes; ``tell``: write into the audit.

        ``trust``: tells who ordered what another node asks; None: nobody may.
        """
        self._trust = trust
        self._node, self._path, self._erase, self._digest = node, directory / FILE, erase, digest
        self._peers, self._others, self._tell = peers, others, tell
        self._orders: dict[str, Order] | None = None
        self._turn = asyncio.Lock()

    def among(self, peers: Peers, others: Callable[[], Iterable[str]]) -> None:
        """Be one of several nodes."""
        self._peers, self._others = peers, others

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {ERASE: self._answer}

    async def order(self, address: str, actor: str, reason: str, credential: Credential | None = None) -> ErasureView:
        """See ErasureControl."""
        async with self._turn:
            orders = await self._known()
            known = next((one for one in orders.values() if key_of(one.address) == key_of(address)), None)
            if known is None:
                known = await self._added(orders, address, actor, reason)
            if credential is not None and self._trust is not None and not known.view.done_ms:
                known.proof = self._trust.signed(credential, ANY_NODE, ERASE, self._body(known)).proof
            await self._round(known)
            if not known.view.done_ms and not known.view.waiting:
                await self._round(known)
            return known.view

    async def all(self) -> list[ErasureView]:
        """See ErasureControl."""
        return [one.view for one in (await self._known()).values()]

    async def look(self) -> None:
        """Go on with what is not done: a chore."""
        for one in [each for each in (await self._known()).values() if not each.view.done_ms]:
            async with self._turn:
                await self._round(one)

    async def _added(self, orders: dict[str, Order], address: str, actor: str, reason: str) -> Order:
        if sum(not one.view.done_ms for one in orders.values()) >= OPEN_MAX:
            raise BadRequestError(f"address: {OPEN_MAX} addresses are being erased; wait until some are done")
        view = ErasureView(
            id=str(uuid_utils.uuid7()),
            digest=self._digest(address.lower()),
            actor=actor,
            reason=reason,
            at_ms=wall_ms(),
        )
        made = Order(view=view, address=address)
        await self._keep(orders | {view.id: made})
        orders[view.id] = made
        return made

    async def _round(self, order: Order) -> None:
        """Ask everybody once, and keep what became of it."""
        if order.view.done_ms:
            return
        view, command = order.view, self._command(order)
        others = list(self._others()) if self._peers is not None else []
        names = [self._node, *others]
        answers = await asyncio.gather(self._here(command), *(self._ask(name, order) for name in others))
        waiting = {name: said for name, said in zip(names, map(_left, answers), strict=True) if said}
        order.clean = 0 if waiting else order.clean + 1
        done = order.clean >= CLEAN_ROUNDS
        changed = view.changed + sum(each.changed for each in answers if isinstance(each, Said))
        order.view = msgspec.structs.replace(view, changed=changed, waiting=waiting, done_ms=wall_ms() if done else 0)
        if done:
            order.address, order.proof = "", None
        await self._keep(await self._known())
        if done:
            await self._told(order.view, names)

    def _command(self, order: Order) -> Command:
        view = order.view
        return Command(address=order.address, actor=f"{view.actor[:64]} at {self._node}", before_ms=view.at_ms)

    def _body(self, order: Order) -> bytes:
        return msgspec.json.encode(self._command(order))

    async def _told(self, view: ErasureView, names: list[str]) -> None:
        _log.warning("an address is erased on every node", extra={"changed": view.changed, "actor": view.actor})
        if self._tell is not None:
            facts = {"erasure": view.id, "address": view.digest, "changed": view.changed, "nodes": names}
            await self._tell({"actor": view.actor, "event": "an address is erased on every node", "facts": facts})

    async def _here(self, command: Command) -> Said | str:
        try:
            return await self._erase(command)
        except RelayError as error:
            return str(error)[:200] or type(error).__name__

    async def _ask(self, name: str, order: Order) -> Said | str:
        assert self._peers is not None  # noqa: S101 - asked by the caller
        if order.proof is None:
            return UNPROVEN
        body = msgspec.json.encode(Signed(body=self._body(order), proof=order.proof))
        try:
            answer = await self._peers.ask(name, ERASE, body, timeout_s=WAIT_S)
            return msgspec.json.decode(answer, type=Said)
        except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return str(error)[:200] or type(error).__name__

    async def _answer(self, caller: str, body: bytes) -> bytes:
        if self._trust is None:
            raise NotErased(UNPROVEN)
        try:
            signed = msgspec.json.decode(body, type=Signed)
            command = msgspec.json.decode(signed.body, type=Command)
            who = await self._trust.lasting(caller, ERASE, signed, Role.ADMIN, PROVEN_S)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotErased(f"not understood: {error}") from None
        except RelayError as error:
            raise NotErased(f"{error}; let an administrator order it anew") from None
        said = await self._here(command)
        if isinstance(said, str):
            raise NotErased(said)
        if said.changed and self._tell is not None:
            facts = {"address": self._digest(command.address.lower()), "changed": said.changed}
            event = "address erased from history"
            await self._tell({"actor": who.name, "role": "admin", "from": caller, "event": event, "facts": facts})
        return msgspec.json.encode(said)

    async def _known(self) -> dict[str, Order]:
        if self._orders is None:
            found, trouble = await asyncio.to_thread(read_table, self._path, dict[str, Order], {})
            if trouble:
                _log.error("%s: addresses that were being erased must be erased again", trouble, extra={"alarm": True})
            if self._orders is None:
                self._orders = found
        return self._orders

    async def _keep(self, orders: dict[str, Order]) -> None:
        ended = [name for name, one in orders.items() if one.view.done_ms]
        for name in ended[: max(0, len(ended) - DONE_KEPT)]:
            del orders[name]
        try:
            await asyncio.to_thread(write_durably, self._path, msgspec.json.encode(orders))
        except OSError as error:
            raise OrderNotKept(f"{self._path}: {error.strerror}") from None


async def left(spool: Spool, copies: Copies | None, command: Command) -> str:
    """Say what names the address still, of what was accepted before the order: mail under way, or copies of it."""
    for which in (Filter(recipient=command.address, limit=1), Filter(sender=command.address, limit=1)):
        page = await spool.page(msgspec.structs.replace(which, until_ms=command.before_ms))
        if page.messages or page.looked_to is not None:
            return "mail to or from it is still under way"
    if copies is not None and await _kept(copies, key_of(command.address), command.before_ms):
        return "copies of mail to or from it are kept for its owner"
    return ""


async def _kept(copies: Copies, key: str, before_ms: int) -> bool:
    for held in await copies.held():
        after = ""
        while rows := await copies.rows(held.attached, after, COPIES_PAGE):
            places = (place for row in rows for place in keys_of(row.facts))
            if any(role < CLIENT and name == key and at_ms < before_ms for role, name, at_ms in places):
                return True
            after = rows[-1].message_id
    return False


def _left(said: Said | str) -> str:
    return said if isinstance(said, str) else said.waiting
