"""The standing of one scope (an account, a path, ...): four states, six events, one table. Pure; ``now`` is handed in.

Two laws: all transitions are in ``_MOVES``; this file does not know what kind of scope it judges. A scope that rested
long is tried by *one* attempt (the probe) before the rest of the mail follows; each failed probe is a strike and takes
the next rest of the reason's schedule. Failures of attempts that began before the rest are no further strikes.
"""

from enum import StrEnum
from typing import Final

import msgspec

from node.policy.verdict import Verdict

PROBE_FROM_S: Final = 60.0
"""Rests shorter than this end by themselves; longer ones end with a probe."""
PROBE_LAPSES_MS: Final = 900_000
"""A probe that never reports (longest final-dot wait is 10 min) is forgotten after this."""
ABANDONED_REST_MS: Final = 30_000
"""Rest after a probe that proved nothing, e.g. because the connection failed."""
MAX_STRIKES: Final = 1000


class State(StrEnum):
    """How a scope stands."""

    HEALTHY = "healthy"
    RESTING = "resting"  # until ``until_ms``
    PROBING = "probing"  # one attempt is under way; the rest waits for it
    PARKED = "parked"  # until an operator resumes it


class Event(StrEnum):
    """What can happen to a scope."""

    FAILED = "failed"
    SUCCEEDED = "succeeded"
    ABANDONED = "abandoned"  # an attempt ended without saying anything about this scope
    PROBED = "probed"  # an attempt starts after the rest
    PARK = "park"
    RESUME = "resume"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One scope's standing; encodable, so that it can be kept and shown."""

    state: State = State.HEALTHY
    reason: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    """End of the rest, or when the probe lapses; None while healthy or parked."""
    strikes: int = 0
    alert: bool = False
    by: str = ""
    """The operator who parked it."""

    def blocks(self, now_ms: int) -> bool:
        """Tell whether mail may not use the scope now."""
        if self.state is State.HEALTHY:
            return False
        return self.until_ms is None or now_ms < self.until_ms


HEALTHY: Final = Standing()

_MOVES: Final[dict[State, dict[Event, State]]] = {
    State.HEALTHY: {
        Event.FAILED: State.RESTING,
        Event.SUCCEEDED: State.HEALTHY,
        Event.ABANDONED: State.HEALTHY,
        Event.PROBED: State.HEALTHY,
        Event.PARK: State.PARKED,
        Event.RESUME: State.HEALTHY,
    },
    State.RESTING: {
        Event.FAILED: State.RESTING,
        Event.SUCCEEDED: State.RESTING,  # of an attempt that began before the failure: proves nothing
        Event.ABANDONED: State.RESTING,
        Event.PROBED: State.PROBING,
        Event.PARK: State.PARKED,
        Event.RESUME: State.HEALTHY,
    },
    State.PROBING: {
        Event.FAILED: State.RESTING,
        Event.SUCCEEDED: State.HEALTHY,
        Event.ABANDONED: State.RESTING,
        Event.PROBED: State.PROBING,
        Event.PARK: State.PARKED,
        Event.RESUME: State.HEALTHY,
    },
    State.PARKED: {
        Event.FAILED: State.PARKED,
        Event.SUCCEEDED: State.PARKED,  # only a person undoes what a person (or a lock-out risk) demanded
        Event.ABANDONED: State.PARKED,
        Event.PROBED: State.PARKED,
        Event.PARK: State.PARKED,
        Event.RESUME: State.HEALTHY,
    },
}


def moves() -> dict[State, dict[Event, State]]:
    """Give the table, for tests and diagrams."""
    return {state: dict(row) for state, row in _MOVES.items()}


def step(
    standing: Standing, event: Event, now_ms: int, *, verdict: Verdict | None = None, reason: str = "", by: str = ""
) -> Standing:
    """Give the standing after an event. ``FAILED`` needs the verdict; ``PARK`` takes a reason and who parked it."""
    target = _MOVES[standing.state][event]
    short_rest_over = event is Event.SUCCEEDED and standing.state is State.RESTING and not standing.blocks(now_ms)
    if target is State.HEALTHY or short_rest_over:
        return HEALTHY
    if event is Event.FAILED:
        return _failed(standing, _needed(verdict), now_ms)
    if event is Event.PARK:
        return Standing(state=target, reason=reason, since_ms=now_ms, by=by)
    if event is Event.PROBED:
        return _probed(standing, now_ms)
    if target is not standing.state:  # a probe abandoned
        return msgspec.structs.replace(standing, state=target, until_ms=now_ms + ABANDONED_REST_MS)
    return standing


def rest_s(verdict: Verdict, strikes: int) -> float:
    """Give the rest after the ``strikes``-th strike (from 1) for the verdict's reason; the last repeats."""
    if not verdict.schedule:
        return verdict.cool_down_s
    return verdict.schedule[min(max(strikes, 1), len(verdict.schedule)) - 1]


def _failed(standing: Standing, verdict: Verdict, now_ms: int) -> Standing:
    if standing.state is State.PARKED:
        return standing
    still_resting = standing.state is State.RESTING and standing.blocks(now_ms)
    if still_resting and not verdict.park:
        return _longer(standing, verdict, now_ms)
    strikes = min(standing.strikes + 1, MAX_STRIKES) if standing.reason == verdict.reason else 1
    until_ms = None if verdict.park else now_ms + round(rest_s(verdict, strikes) * 1000)
    return Standing(
        state=State.PARKED if verdict.park else State.RESTING,
        reason=verdict.reason,
        since_ms=now_ms,
        until_ms=until_ms,
        strikes=strikes,
        alert=verdict.alert,
    )


def _longer(standing: Standing, verdict: Verdict, now_ms: int) -> Standing:
    """Of two failures in one rest the one that needs the longer rest counts; neither adds a strike."""
    until_ms = now_ms + round(rest_s(verdict, 1) * 1000)
    if verdict.reason == standing.reason or standing.until_ms is None or until_ms <= standing.until_ms:
        return standing
    return Standing(
        state=State.RESTING, reason=verdict.reason, since_ms=now_ms, until_ms=until_ms, strikes=1, alert=verdict.alert
    )


def _probed(standing: Standing, now_ms: int) -> Standing:
    if standing.blocks(now_ms) or standing.state is State.PARKED:
        return standing
    if standing.state is State.RESTING and (standing.until_ms or 0) - standing.since_ms < PROBE_FROM_S * 1000:
        return standing  # short rests end by themselves; the strike count stays until a success
    return msgspec.structs.replace(standing, state=State.PROBING, until_ms=now_ms + PROBE_LAPSES_MS)


def _needed(verdict: Verdict | None) -> Verdict:
    if verdict is None:
        raise ValueError("a failure needs its verdict")
    return verdict
