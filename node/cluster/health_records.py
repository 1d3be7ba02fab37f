"""Which standings the cluster shares, how two of them become one, and when a path is down everywhere. Pure.

Shared are accounts, paths, tenants and clients. How a path looks from one node (its site's scope) is told by each node
under its own name and judged by the others: one broken line trips nobody else's breaker (operations M10). Pairs of
account and From stay on their node: their name holds an address of a person, which may not be in the store (design
§7), and a hash of it would be guessable or need a secret of its own; what it would save is one refused attempt a node.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from node.policy.health import CLIENT_STOPPED, breaks_everywhere
from node.policy.standing import Standing, State

FORM: Final = 1
SHARED_MAX: Final = 2_000
"""Keys one cluster keeps; beyond it a standing stays on its node."""
SHARE_FROM_MS: Final = 10_000
"""Shorter rests end before it pays to tell of them."""
KEPT_AFTER_MS: Final = 86_400_000
"""An ended rest that nobody has settled is forgotten after a day."""
WORKED_WITHIN_MS: Final = 300_000
"""A delivery counts so long as word that a path works from a site."""
VOICES_MIN: Final = 2
"""One node alone says nothing of the others."""
EVERYWHERE: Final = "everywhere"
"""Who let a path rest: the agreement of all nodes that tried it."""
SITE: Final = "site/"
SHARED: Final = ("account/", "path/", "tenant/", "client/", SITE)
NAME_MAX: Final = 400


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``health/<name>``. A site's may be *healthy*: the node tried, and the path works from there."""

    form: int = FORM
    node: str
    """Who found out."""
    standing: Standing


def shareable(scope: str) -> bool:
    """Tell whether a scope may be named in the store."""
    return scope.startswith(SHARED) and len(scope) < NAME_MAX and scope.isprintable()


def name_of(scope: str, node: str) -> str:
    """Name the key below ``health/`` under which a node tells of a scope."""
    return f"{scope}/{node}" if scope.startswith(SITE) else scope


def decoded(data: bytes) -> Record | None:
    """Read a record; None for what is none, or a newer version's."""
    try:
        found = msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.form == FORM and _sound(found.standing) else None


def _sound(standing: Standing) -> bool:
    rests = standing.state in (State.RESTING, State.PROBING)
    return rests == (standing.until_ms is not None) and all(
        text.isprintable() and len(text) <= 200  # noqa: PLR2004 - names of reasons and people
        for text in (standing.reason, standing.by)
    )


def worth_telling(standing: Standing) -> bool:
    """Tell whether others should know: what rests long, and what is parked by the relay itself."""
    if standing.state is State.PARKED:
        return True
    return standing.state is State.RESTING and (standing.until_ms or 0) - standing.since_ms >= SHARE_FROM_MS


def adoptable(standing: Standing, now_ms: int) -> Standing:
    """Fit another node's standing to our clock: it rests no longer from now than its whole rest was."""
    if standing.until_ms is None:
        return standing
    length_ms = max(0, standing.until_ms - standing.since_ms)
    until_ms = min(standing.until_ms, now_ms + length_ms)
    return msgspec.structs.replace(
        standing, state=State.RESTING, since_ms=min(standing.since_ms, now_ms), until_ms=until_ms
    )


def worse(one: Standing, other: Standing) -> Standing:
    """Of two standings of one scope the one that stops more; the more strikes of both."""
    first, second = sorted((one, other), key=_weight, reverse=True)
    strikes = max(first.strikes, second.strikes)
    return first if first.state is State.HEALTHY else msgspec.structs.replace(first, strikes=strikes)


def _weight(standing: Standing) -> tuple[int, int, int, str]:
    rank = {State.HEALTHY: 0, State.RESTING: 1, State.PROBING: 1, State.PARKED: 2}[standing.state]
    return (rank, standing.until_ms or 0, standing.since_ms, standing.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Whose word about a path a name is: ``site/contoso/submission@dc1/relay-a``."""

    path: str
    """The path's scope."""
    site: str
    node: str

    @property
    def scope(self) -> str:
        """The scope in that node's book."""
        return f"{SITE}{self.path.removeprefix('path/')}@{self.site}"


def voice_of(name: str) -> Voice | None:
    """Read a name; None when it is not a node's word about a path."""
    rest, _, node = name.removeprefix(SITE).rpartition("/")
    path, at, site = rest.rpartition("@")
    return Voice(path=f"path/{path}", site=site, node=node) if name.startswith(SITE) and at and node else None


def voices(records: Mapping[str, Record], path: str, site: str = "") -> dict[str, Standing]:
    """Give what each node says of a path, all of them or those of one site."""
    told = ((voice_of(name), record.standing) for name, record in records.items())
    return {
        voice.node: standing
        for voice, standing in told
        if voice is not None and voice.path == path and site in ("", voice.site)
    }


def down_everywhere(told: Mapping[str, Standing]) -> Standing | None:
    """Give the rest of a path that is down for every node that tried it (two at least), until the first tries again.

    None: it works for somebody, or too few tried.
    """
    broken = {who: standing.state is not State.HEALTHY for who, standing in told.items()}
    if len(told) < VOICES_MIN or not breaks_everywhere(broken):
        return None
    first = min(told.values(), key=lambda standing: standing.until_ms or standing.since_ms)
    return msgspec.structs.replace(first, state=State.RESTING, until_ms=first.until_ms or first.since_ms, by=EVERYWHERE)


def works_for_us(path: str, node: str, records: Mapping[str, Record], worked_ms: int, now_ms: int) -> bool:
    """Tell whether a node should say that a path works: it does, and another says it is down."""
    others = [standing for who, standing in voices(records, path).items() if who != node]
    down = any(standing.state is not State.HEALTHY for standing in others)
    return down and now_ms - worked_ms <= WORKED_WITHIN_MS


def by_hand(standing: Standing) -> bool:
    """Tell whether a person parked it: then the wish tells the others, or it was meant for this node only."""
    return standing.state is State.PARKED and bool(standing.by) and standing.reason != CLIENT_STOPPED


def stale(record: Record, now_ms: int) -> bool:
    """Tell whether its rest ended so long ago that nobody will settle it."""
    until_ms = record.standing.until_ms
    return until_ms is not None and now_ms - until_ms > KEPT_AFTER_MS
