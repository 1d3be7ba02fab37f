"""What the client and the kernels saw, as figures. Pure.

An attempt is *prompt* when its 220 came within ``PROMPT_S`` of its start: less than the first retransmission of a SYN
(1 s), more than any host here needs. The gap is the longest time between the 220 of a prompt attempt and the start of
the next prompt attempt; with attempts every 50 ms its floor is just under 0.05 s. An attempt started within the gap may
still succeed late, by a retransmission: it is counted as delayed, and its wait is the client's.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Final

PROMPT_S: Final = 0.25
EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One session the client tried; ``banner`` is when its 220 came."""

    started: float
    outcome: str
    banner: float | None = None

    @property
    def prompt(self) -> bool:
        return self.outcome == "ok" and self.banner is not None and self.banner - self.started <= PROMPT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The address came to, or left, a host between ``before`` and ``at``."""

    host: int
    bound: bool
    before: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the client met between the fault and the end of the watch."""

    attempts: int
    gap_s: float
    recovered: bool
    """False: no prompt attempt any more; the gap is then only as long as the watch."""
    held_up_s: float
    """Longest time the client itself started no attempt beyond the usual: what it saw meanwhile says nothing."""
    delayed: int
    longest_wait_s: float
    failed: dict[str, int]
    """Attempts without 220, by outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the address was, in living kernels, between the fault and the end of the watch."""

    overlap_s: float
    """Longest time two kernels surely had it at once."""
    overlap_most_s: float
    """The same, if every change fell at the worst moment between two looks."""
    unbound_s: float
    """Longest time no kernel had it."""
    holders: tuple[int, ...]
    """Who held it, in turn, from before the fault."""
    moved_s: float | None
    """From the fault until another host had it."""


def service(attempts: list[Attempt], since: float, until: float) -> Service:
    """Judge the attempts begun between the moments ``since`` (the fault) and ``until`` (the client's last)."""
    ordered = sorted(attempts, key=lambda attempt: attempt.started)
    meant = [attempt for attempt in ordered if since <= attempt.started <= until]
    before = [attempt for attempt in ordered if attempt.started < since and attempt.prompt][-1:]
    prompt = before + [attempt for attempt in meant if attempt.prompt]
    gaps = [later.started - earlier.banner for earlier, later in pairwise(prompt)]
    last = until - prompt[-1].banner if prompt else until - since
    late = [attempt for attempt in meant if attempt.outcome == "ok" and not attempt.prompt]
    return Service(
        attempts=len(meant),
        gap_s=max([*gaps, last]),
        recovered=last <= PROMPT_S,
        held_up_s=max((b.started - a.started - EVERY_S for a, b in pairwise(before + meant)), default=0.0),
        delayed=len(late),
        longest_wait_s=max((a.banner - a.started for a in meant if a.outcome == "ok"), default=0.0),
        failed=dict(Counter(attempt.outcome for attempt in meant if attempt.outcome != "ok")),
    )


def _spans(changes: list[Change], host: int, until: float, *, most: bool) -> list[tuple[float, float]]:
    """Give when a host had the address: surely, or at most."""
    spans, begun = [], None
    for change in (change for change in changes if change.host == host):
        if change.bound:
            begun = change.before if most else change.at
        elif begun is not None:
            spans.append((begun, change.at if most else change.before))
            begun = None
    return [*spans, (begun, until)] if begun is not None else spans


def _shared(spans: list[list[tuple[float, float]]], since: float) -> float:
    """Longest time after ``since`` during which two hosts or more had it."""
    marks = sorted((moment, step) for each in spans for begun, ended in each if ended > begun
                   for moment, step in ((max(begun, since), 1), (max(ended, since), -1)))  # fmt: skip
    having, longest, from_ = 0, 0.0, since
    for moment, step in marks:
        if having == 2 and step < 0:
            longest = max(longest, moment - from_)
        having += step
        if having == 2 and step > 0:
            from_ = moment
    return longest


def binding(changes: list[Change], since: float, until: float, dead: dict[int, float] | None = None) -> Binding:
    """Judge where the address was. ``dead``: hosts whose machine went, and when; what they hold counts no more."""
    ordered = sorted(changes, key=lambda change: change.at)
    hosts = sorted({change.host for change in ordered})
    ends = {host: min(until, (dead or {}).get(host, until)) for host in hosts}

    def spans(*, most: bool) -> list[list[tuple[float, float]]]:
        return [
            [(a, min(b, ends[host])) for a, b in _spans(ordered, host, ends[host], most=most) if a < ends[host]]
            for host in hosts
        ]

    sure = spans(most=False)
    turns = sorted((begun, host) for host, each in zip(hosts, sure, strict=True) for begun, _ in each)
    earlier = [host for begun, host in turns if begun <= since][-1:]
    later = [(begun, host) for begun, host in turns if begun > since]
    return Binding(
        overlap_s=_shared(sure, since),
        overlap_most_s=_shared(spans(most=True), since),
        unbound_s=_nowhere(sure, since, until),
        holders=tuple(earlier + [host for _, host in later]),
        moved_s=next((begun - since for begun, host in later if [host] != earlier), None),
    )


def _nowhere(spans: list[list[tuple[float, float]]], since: float, until: float) -> float:
    longest, reached = 0.0, since
    for begun, ended in sorted(span for each in spans for span in each):
        longest = max(longest, min(begun, until) - reached)
        reached = max(reached, ended)
    return max(longest, until - reached, 0.0)


def plain(value: object) -> dict:
    """Give a figure as JSON takes it."""
    return asdict(value)
