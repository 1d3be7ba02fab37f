"""Which node keeps the copies: another site first, then the least loaded; kept while it lives (design §6). Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A member as it shows itself."""

    node: str
    spool: str
    site: str = ""
    load: int = 0
    """Rows it keeps, or any number that grows with them."""
    healthy: bool = True
    """It takes copies: there is room, it does not drain, it answers."""


def usable(candidate: Candidate, *, node: str, spool: str) -> bool:
    """Whether copies there survive what happens here: another node on another disk."""
    return candidate.healthy and candidate.node != node and candidate.spool not in {"", spool}


def choose(candidates: Iterable[Candidate], *, node: str, spool: str, site: str, current: str = "") -> Candidate | None:
    """Choose for *node*; None when there is nobody. The *current* one stays as long as it can be used."""
    found = [each for each in candidates if usable(each, node=node, spool=spool)]
    kept = next((each for each in found if each.node == current), None)
    if kept is not None:
        return kept
    return min(found, key=lambda each: (each.site == site, each.load, each.node), default=None)
