"""Puts a newer level in force on an operator's word: all processes judged at one moment, one transaction.

The transaction holds only if nobody joined or left since they were judged, and a session begins only if the level is
the one it was judged by (``keeper.VersionKeeper.admission``). So no process ever has a session at a level that it does
not know.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from coordinator.errors import CoordinatorError, StaleRevision
from coordinator.keys import Keys, Role, decode, encode
from coordinator.members import MemberRecord
from coordinator.runner import SessionRunner
from coordinator.store.contract import Compare, Indefinite, Item, Put, Store, absent, created_at, unchanged
from coordinator.versions.decide import Said, Step, decide
from coordinator.versions.keeper import VersionKeeper, read, wall_ms
from coordinator.versions.record import Settled

TIMEOUT_S: Final = 5.0
ROLES: Final = {"node": Role.NODE, "coordinator": Role.COORDINATOR}
_log = logging.getLogger(__name__)


class Hindered(CoordinatorError):  # noqa: N818 - a state of affairs
    """Processes that have to know the new level are missing or do not; the text names each of them."""

    temporary = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Whose word it is."""

    node: str
    """The node that was asked."""
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finaliser:
    """What a process needs to finalise."""

    store: Store
    keys: Keys
    session: SessionRunner
    versions: VersionKeeper
    nodes: Callable[[], Iterable[str]]
    """Everybody of the cluster."""

    async def finalise(self, silent: Mapping[str, str], word: Word) -> Settled:
        """Put the newest level of this version in force; what is in force then, which may have been before.

        ``silent``: nodes that did not answer a question just now, and why. Raises Hindered, StaleRevision (somebody
        came or went), NotAMember, StoreError (not known whether it was done).
        """
        item = await self.store.get(self.keys.version, timeout_s=TIMEOUT_S)
        settled = read(item) if item is not None else Settled(level=self.versions.level)
        members = {role: await self._members(ROLES[role]) for role in ROLES}
        release = self.versions.release
        decision = decide(release, settled.level, self._said(members, silent))
        if decision.step is Step.DONE:
            return settled
        if decision.step is Step.REFUSED:
            raise Hindered(f"level {decision.level} cannot be put in force: {'; '.join(decision.hindrances)}")
        fresh = Settled(
            level=decision.level,
            actor=word.actor,
            reason=word.reason,
            node=word.node,
            version=release.version,
            at_ms=wall_ms(),
        )
        judged = [each for found in members.values() for each in found.values()]
        same = [created_at(each.key, each.create_revision) for each in judged]
        await self._write([absent(self.keys.version) if item is None else unchanged(item), *same], fresh)
        _log.warning("level %d finalised", fresh.level, extra={"actor": word.actor, "why": word.reason})
        return fresh

    async def _members(self, role: str) -> dict[str, Item]:
        prefix = self.keys.member(role, "")
        listing = await self.store.list(prefix, timeout_s=TIMEOUT_S)
        return {item.key.removeprefix(prefix): item for item in listing.items}

    def _said(self, members: Mapping[str, Mapping[str, Item]], silent: Mapping[str, str]) -> list[Said]:
        listed = set(self.nodes())
        return [
            _said(role, node, found.get(node), silent.get(node, "") if role == "node" else "")
            for role, found in members.items()
            for node in sorted(listed | set(found))
        ]

    async def _write(self, compares: list[Compare], fresh: Settled) -> None:
        put = Put(key=self.keys.version, value=encode(fresh))
        try:
            outcome = await self.session.guarded(compares, [put], timeout_s=TIMEOUT_S)
        except Indefinite:
            item = await self.store.get(put.key, timeout_s=TIMEOUT_S)
            if item is None or item.value != put.value:
                raise  # it may still come
            return
        if not outcome.succeeded:
            raise StaleRevision("somebody joined, left or finalised at this moment: look, and ask again if need be")


def _said(role: str, node: str, item: Item | None, silence: str) -> Said:
    if item is None:
        return Said(role=role, node=node, why="has no session")
    record = decode(item.value, MemberRecord)
    if record is None:
        return Said(role=role, node=node)
    why = f"does not answer: {silence}" if silence else ""
    return Said(role=role, node=node, version=record.version, levels=record.levels, why=why)
