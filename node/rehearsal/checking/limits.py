"""I2: did the other side ever see more than it allows, whichever moment between MAIL and reply it counts. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from node.rehearsal.checking.overlap import Interval, crowds
from node.rehearsal.checking.records import Any, Begun, Ended, Gone, Limit, Login
from node.rehearsal.checking.verdict import Violation
from node.rehearsal.errors import RehearsalInputError

_K = TypeVar("_K")
_V = TypeVar("_V")
TENANT: Final = "tenant/"
UNLIMITED: Final = frozenset({"hve", "mx", "smarthost"})
"""Services without a limit of their own; the tenant's holds all the same."""
TOLD_EACH: Final = 20
"""Violations told of one scope and measure; the first ones."""


@dataclass
class Operations:
    """A receiver's history as intervals."""

    limits: dict[tuple[str, str, float], Limit] = field(default_factory=dict)
    operations: list[tuple[Begun, Ended | None]] = field(default_factory=list)
    sessions: list[tuple[Login, Gone | None]] = field(default_factory=list)
    last_ms: float = 0.0


def read(records: Iterable[Any]) -> Operations:
    """Join beginnings and ends; raises RehearsalInputError for a history that contradicts itself."""
    found = Operations()
    begun: dict[int, Begun] = {}
    logins: dict[tuple[str, int], Login] = {}
    for one in records:
        if one.at_ms < found.last_ms:
            raise RehearsalInputError(f"the history runs backwards at {one.at_ms:.3f}: {one}")
        found.last_ms = one.at_ms
        match one:
            case Limit():
                found.limits[one.scope, one.measure, one.window_s] = one
            case Begun():
                if one.operation in begun:
                    raise RehearsalInputError(f"operation {one.operation} begins twice")
                begun[one.operation] = one
            case Ended():
                found.operations.append((_taken(begun, one.operation, one), one))
            case Login():
                if (one.scope, one.session) in logins:
                    raise RehearsalInputError(f"session {one.session} of {one.scope} begins twice")
                logins[one.scope, one.session] = one
            case Gone():
                found.sessions.append((_taken(logins, (one.scope, one.session), one), one))
            case _:
                pass
    found.operations += [(one, None) for one in begun.values()]
    found.sessions += [(one, None) for one in logins.values()]
    return found


def _taken(waiting: dict[_K, _V], key: _K, end: Any) -> _V:
    try:
        return waiting.pop(key)
    except KeyError:
        raise RehearsalInputError(f"an end without its beginning: {end}") from None


def judge(seen: Operations) -> tuple[dict[str, dict[str, int]], int, list[Violation]]:
    """Give the worst of each scope, the greatest overshoot, and the violations."""
    worst: dict[str, dict[str, int]] = defaultdict(dict)
    overshoot, violations = 0, []
    for limit in seen.limits.values():
        most, above = crowds(_intervals(seen, limit), limit.amount)
        worst[limit.scope][_named(limit)] = most
        overshoot = max(overshoot, most - limit.amount)
        violations += [
            Violation(
                invariant="I2",
                what=limit.measure,
                subject=limit.scope,
                at_ms=one.at_ms,
                text=f"{one.level} {limit.measure}{_window(limit)} where {limit.amount} are allowed",
                evidence=one.names,
            )
            for one in above[:TOLD_EACH]
        ]
    return dict(worst), overshoot, violations


def unlimited(seen: Operations) -> list[str]:
    """Name the accounts no limit was told of: nothing can be said about them."""
    limited = {limit.scope for limit in seen.limits.values()}
    counted = {begun.scope for begun, _ in seen.operations if begun.scope and begun.service not in UNLIMITED}
    return sorted(counted - limited)


def _intervals(seen: Operations, limit: Limit) -> list[Interval]:
    if limit.measure == "sessions":
        return [
            Interval(
                from_ms=login.at_ms,
                to_ms=gone.at_ms if gone is not None else float("inf"),
                name=f"session {login.session} of {login.scope} from {login.peer or 'nobody'} at {login.at_ms:.0f}",
            )
            for login, gone in seen.sessions
            if login.scope == limit.scope
        ]
    return [
        Interval(
            from_ms=begun.at_ms,
            to_ms=(ended.at_ms if ended is not None else seen.last_ms) + limit.window_s * 1000,
            name=_told(begun, ended),
            weight=_weight(limit, ended),
        )
        for begun, ended in seen.operations
        if _concerns(limit, begun) and (ended is None or ended.counted)
    ]


def _concerns(limit: Limit, begun: Begun) -> bool:
    if limit.scope.startswith(TENANT):
        return begun.tenant == limit.scope.removeprefix(TENANT)
    return begun.scope == limit.scope


def _weight(limit: Limit, ended: Ended | None) -> int:
    """What an operation counts; one without an end may have started a message, and nothing is known of more."""
    if limit.measure == "starts":
        return 1
    if ended is None or not ended.taken:
        return 0
    return len(ended.recipients) if limit.measure == "recipients" else ended.external


def _told(begun: Begun, ended: Ended | None) -> str:
    what = ended.id if ended is not None and ended.id else "?"
    until = f"{ended.at_ms:.0f}" if ended is not None else "the end"
    return f"{begun.operation} {what} of {begun.scope} from {begun.peer or 'nobody'}, {begun.at_ms:.0f} to {until}"


def _window(limit: Limit) -> str:
    return f" in {limit.window_s:g} s" if limit.window_s else " at once"


def _named(limit: Limit) -> str:
    return f"{limit.measure}/{limit.window_s:g}s" if limit.window_s else limit.measure


def allowed(limits: Mapping[tuple[str, str, float], Limit]) -> dict[str, dict[str, int]]:
    """Give the limits in the form of the worst cases."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for limit in limits.values():
        found[limit.scope][_named(limit)] = limit.amount
    return dict(found)
