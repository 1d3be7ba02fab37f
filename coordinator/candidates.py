"""Who should hold an address: the order of candidates, and what it means for one of them. Pure.

A candidate has a live session, a node that published it is ready, a place on the address's list, and no wish to drain
it. An operator's wish comes first, then the preferred node, then a spread by the address's name, so that several
addresses of one host do not all go to the same neighbour. Only wish and preference ever move an address away from a
holder that is well, and only to a candidate: an address is never given away to nobody.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2s

from coordinator.address_facts import Address

RESIGNED_MS = 1_000
"""Whoever has just resigned is no candidate for so long: it had a reason, and the next one must not wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What is known of everybody, for one address."""

    name: str
    me: str
    listed: tuple[str, ...]
    """Nodes of the configuration that may hold it (site, nodes)."""
    ready: Collection[str]
    """Nodes with a live coordinator whose relay published that it is ready."""
    draining: Collection[str] = ()
    overdue: Collection[str] = ()
    """Those that are drained for longer than sessions are given to end."""
    prefer: str = ""
    wish: str = ""
    """The node an operator's wish names; empty without one."""
    agreed: bool = False
    """All living coordinators have the same configuration as we."""
    cluster: Collection[str] | None = None
    """The cluster's nodes by the values in force; None while there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One candidate's part: goes into the facts of a decision (``Facts`` says what each means)."""

    eligible: bool = True
    rank: int = 0
    yields: bool = False
    moved: bool = False
    wanted: tuple[str, ...] = ()
    replaces: bool = False


def standing(field: Field, address: Address, *, resigned: str = "") -> Standing:
    """Say what a node's part is now. ``resigned``: who gave the address up a moment ago."""
    order = candidates(field, address)
    waiting = [node for node in order if node != resigned]
    holds = address.key is not None and address.key.holder == field.me
    return Standing(
        eligible=field.me in field.listed and not _drained(field, holds=holds),
        rank=waiting.index(field.me) if field.me in waiting else len(waiting),
        yields=holds and not field.wish and field.prefer in order and field.prefer != field.me,
        moved=holds and field.wish in order and field.wish != field.me,
        wanted=wanted_list(field, address.nodes),
        replaces=replaces(field, address.nodes),
    )


def _drained(field: Field, *, holds: bool) -> bool:
    """Whether a wish to drain counts. A holder waits for its node, which sees sessions out and then is not ready."""
    return field.me in field.draining and (not holds or field.me in field.overdue)


def candidates(field: Field, address: Address) -> tuple[str, ...]:
    """Give everybody who could take the address now, first choice first."""
    listed = address.nodes or field.listed
    may = [node for node in listed if node in field.ready and node not in field.draining]
    if replaces(field, address.nodes):
        may = [node for node in field.listed if node in field.ready and node not in field.draining]
    return tuple(sorted(may, key=lambda node: (node != field.wish, node != field.prefer, _spread(field.name, node))))


def wanted_list(field: Field, stored: tuple[str, ...]) -> tuple[str, ...]:
    """Give the list as it should be: ours if all agree on the configuration, else the longer one (operations M17)."""
    if field.agreed or not stored:
        return tuple(sorted(field.listed))
    return tuple(sorted({*field.listed, *stored}))


def replaces(field: Field, stored: tuple[str, ...]) -> bool:
    """Whether nobody on the stored list is of the cluster any more, by the values in force: it would wait for ever.

    Only agreed values say so: a node taken off the list must have been stopped before (``relayctl node remove``).
    """
    if not stored or field.cluster is None or not field.agreed:
        return False
    return field.me in field.listed and not set(stored) & set(field.cluster)


def _spread(name: str, node: str) -> bytes:
    """Order nodes differently for each address, the same on every host."""
    return blake2s(f"{name}/{node}".encode()).digest()
