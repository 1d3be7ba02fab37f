"""Values in force in the whole cluster: who is of it, and its limits (operations M17). Pure.

Every node says what its configuration wants; the leader puts it in force once all living nodes want the same, by its
hash. Until then each of them goes by the lower of two limits and the longer list of nodes, so shares computed from two
files never add up to more than either of them allows.
"""

from collections.abc import Iterable, Mapping

import msgspec

from coordinator.keys import Keys, decode
from coordinator.store.contract import Item


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What one node's configuration wants; under ``wanted/<node>``, leased."""

    hash: str
    nodes: tuple[str, ...]
    limits: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    """Scope to numbers whose meaning is the node's; for each of them lower is safer."""


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force; under ``config``. ``revision`` counts the changes."""

    revision: int
    hash: str
    nodes: tuple[str, ...]
    limits: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)


class Values(msgspec.Struct, frozen=True, kw_only=True):
    """What to go by now."""

    nodes: tuple[str, ...]
    limits: dict[str, tuple[int, ...]]


def meanwhile(in_force: InForce | None, wanted: Iterable[Wanted]) -> Values:
    """Give what to go by: the lower number of each limit and the longer list, of all that is in force or wanted.

    A scope that only one side names counts as it stands there.
    """
    sides: list[InForce | Wanted] = [*([in_force] if in_force is not None else []), *wanted]
    limits: dict[str, tuple[int, ...]] = {}
    for side in sides:
        for scope, numbers in side.limits.items():
            limits[scope] = lower(limits[scope], numbers) if scope in limits else numbers
    return Values(nodes=tuple(sorted({node for side in sides for node in side.nodes})), limits=limits)


def lower(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Take the lower of each pair of numbers; numbers only one side has stay."""
    longer = max(one, other, key=len)
    return (*map(min, one, other), *longer[min(len(one), len(other)) :])


def agreed(in_force: InForce | None, wanted: Mapping[str, Wanted | None], live: Iterable[str]) -> InForce | None:
    """Give what is to be put in force, None while nothing is: every living node must want it, by the same hash.

    ``wanted`` holds None for a value that cannot be read: present, and not agreeing. Nobody living agrees on nothing.
    """
    wishes = [wanted.get(node) for node in live]
    first = wishes[0] if wishes else None
    if first is None or any(wish is None or wish.hash != first.hash for wish in wishes):
        return None
    if any(wish != first for wish in wishes):
        return None  # one hash, several meanings: a version that reads the same file differently
    before = in_force.revision if in_force is not None else 0
    fresh = InForce(revision=before + 1, hash=first.hash, nodes=first.nodes, limits=first.limits)
    unchanged = in_force is not None and msgspec.structs.replace(fresh, revision=before) == in_force
    return None if unchanged else fresh


def in_force_of(item: Item | None) -> InForce | None:
    """Read ``config``; None when there is none or it cannot be read."""
    return decode(item.value, InForce) if item is not None else None


def wanted_of(items: Iterable[Item], keys: Keys) -> dict[str, Wanted | None]:
    """Read everything under ``wanted/``; None for what cannot be read."""
    prefix = keys.wanted("")
    return {item.key.removeprefix(prefix): decode(item.value, Wanted) for item in items if item.key.startswith(prefix)}
