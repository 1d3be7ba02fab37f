"""Who may join at a level, which level a cluster begins with, and when a newer one may be put in force. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from coordinator.versions.release import FIRST, Release


class Fit(StrEnum):
    """How a version stands to the level in force."""

    FITS = "fits"
    BEHIND = "behind"
    """The level in force is newer than all it knows."""
    AHEAD = "ahead"
    """The level in force is older than all it knows."""


def fit(release: Release, level: int) -> Fit:
    """Compare a version with the level in force."""
    if release.knows(level):
        return Fit.FITS
    return Fit.BEHIND if level > release.newest else Fit.AHEAD


def refusal(release: Release, level: int, by: str = "") -> str:
    """Say why a version does not work at the level in force, and what to do; empty when it does.

    ``by``: how the level came in force, in words.
    """
    found = fit(release, level)
    if found is Fit.FITS:
        return ""
    force = f"level {level} is in force{f' ({by})' if by else ''}"
    what = f"version {release.version} knows {shown(release.span)}"
    if found is Fit.BEHIND:
        return f"{force}, {what}: it is too old for this cluster; start a version that knows level {level}"
    return (
        f"{force}, {what}: a version was left out. Start one that knows level {level}, "
        f"run `relayctl cluster finalise` with it, then upgrade again"
    )


def born(release: Release, *, remembered: int, empty: bool) -> int:
    """Give the level of a cluster that does not say which one is in force.

    ``remembered``: what was in force when this process last knew, 0 for never: the store may be a new one under an old
    cluster. ``empty``: there is nothing of the cluster in the store; else it is from before levels were written down.
    """
    if remembered:
        return remembered
    return release.newest if empty else FIRST


def meanwhile(release: Release, remembered: int) -> int:
    """Give the level to work at while the store does not answer: what was last known, else the one easiest to leave."""
    return remembered or release.oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is known of one process that has to be there for a newer level."""

    role: str
    """``node`` or ``coordinator``."""
    node: str
    version: str = ""
    levels: tuple[int, int] | None = None
    """Oldest and newest it knows; None when that is not known."""
    why: str = ""
    """What is wrong with it, whatever it knows; empty: it is there."""


class Step(StrEnum):
    """What becomes of the wish to finalise."""

    DONE = "done"
    """The newest level is in force already."""
    REFUSED = "refused"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, with which level, and what stands in the way."""

    step: Step
    level: int
    hindrances: tuple[str, ...] = ()


def decide(release: Release, in_force: int, said: Iterable[Said]) -> Decision:
    """Judge the wish to put the newest level of ``release`` in force, given all processes that have to know it."""
    target = release.newest
    if target <= in_force:
        return Decision(step=Step.DONE, level=in_force)
    hindrances = tuple(text for each in said if (text := hindrance(target, each)))
    return Decision(step=Step.REFUSED if hindrances else Step.ALLOWED, level=target, hindrances=hindrances)


def hindrance(target: int, said: Said) -> str:
    """Say why a process stands in the way of a level; empty when it does not."""
    name = f"{said.role} {said.node}" + (f" (version {said.version})" if said.version else "")
    if said.why:
        return f"{name} {said.why}"
    if said.levels is None:
        return f"{name} does not say which levels it knows"
    return "" if said.levels[0] <= target <= said.levels[1] else f"{name} knows {shown(said.levels)}"


def shown(span: tuple[int, int]) -> str:
    """Name a range of levels."""
    return f"level {span[0]} only" if span[0] == span[1] else f"levels {span[0]} to {span[1]}"
