"""Wait or switch: which of the candidate ways a message takes now, pure and explained (design §5.4).

The rule, in the order applied:

1. Only ways routing allows. None: ``NoWay``, with the cause that says whether a person, a smaller message or a
   configuration is missing.
2. A content block stops: if the client was stopped for its content, nothing is tried anywhere.
3. The first path kind of the route with a way that is healthy and has budget now is taken; among its ways the one used
   least, the From's own mailbox before others, and never the way this message failed on last while another is ready.
4. Unless a *preferred* path lacks only budget and will have some within ``patience_ms``: then waiting keeps the mail on
   the path the operator wanted. Urgent mail waits so only for not leaving the tenant: a code that expires is worth more
   than the order of two ways inside.
5. Nothing ready: wait until the first way comes free.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from node.policy.health import CLIENT_STOPPED, Availability
from node.policy.route import Candidate, Cause, Way

PATIENCE_MS: Final = 5_000
"""How long budget on a preferred path is waited for before a later path is used."""
LOOK_AGAIN_MS: Final = 900_000
"""When nothing says when a way comes free (parked by a person), look again after this."""

_CAUSES: Final = (
    Cause.SIZE,
    Cause.HEADER,
    Cause.REBUILD,
    Cause.RESERVED,
    Cause.SENDER,
    Cause.OUTSIDE,
    Cause.INTERNAL_ONLY,
    Cause.NOT_SET_UP,
    Cause.KIND,
    Cause.TENANT,
)
"""Which cause names the failure when every way has one: the one nearest to working first."""
_NEVER: Final = frozenset({Cause.SIZE, Cause.REBUILD})
"""Too large for every way as it is."""


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """Use this way now."""

    way: Way
    lines: tuple[str, ...] = ()


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing now; ask again at ``until_ms``."""

    until_ms: int
    reason: str
    """``no_permit``, ``day_budget``, ..., or the reason a scope rests for."""
    lines: tuple[str, ...] = ()


class NoWay(msgspec.Struct, frozen=True, kw_only=True):
    """No allowed way exists; waiting does not help until the configuration changes."""

    reason: str
    """Value of ``Cause``."""
    why: str
    """For people: what each way lacks."""
    bounce: bool = False
    """True where no configuration change is to be expected (too large): bounce now."""
    lines: tuple[str, ...] = ()


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """A scope without budget now."""

    until_ms: int
    reason: str = "no_permit"


class _Shunned(msgspec.Struct, frozen=True, kw_only=True):
    """Ways that are taken only when nothing else is ready."""

    last_way: str
    doubtful: Collection[str]

    def covers(self, way: Way) -> bool:
        return way.name == self.last_way or way.name in self.doubtful


class _Option(msgspec.Struct, frozen=True, kw_only=True):
    way: Way
    ready_ms: int
    reason: str
    healthy: bool


class Choice:
    """One message's choice, asked anew after each way that turned out to be short."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        availability: Mapping[str, Availability],
        budget: Mapping[str, Shortage],
        now_ms: int,
        *,
        load: Mapping[str, int] | None = None,
        last_way: str = "",
        avoid: Collection[str] = (),
        doubtful: Collection[str] = (),
        urgent: bool = False,
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        """See ``choose``; what is handed in is read once, here."""
        self._candidates, self._now_ms, self._patience_ms = candidates, now_ms, patience_ms
        self._urgent = urgent
        options = [_option(item.way, availability, budget, now_ms) for item in candidates if item.ok]
        self.options = [option for option in options if option.way.path not in avoid] or options
        self._shunned = _Shunned(last_way=last_way, doubtful=doubtful)
        self._stopped = next((option for option in self.options if option.reason == CLIENT_STOPPED), None)
        self._ready = self._in_order(load or {})

    def _in_order(self, load: Mapping[str, int]) -> list[_Option]:
        """Give what is ready, the best last."""
        ready = [option for option in self.options if option.ready_ms <= self._now_ms]
        return sorted(
            ready, key=lambda option: (self._shunned.covers(option.way), *_preference(option.way, load)), reverse=True
        )

    def decide(self) -> Take | Wait | NoWay:
        """Decide by what is known now."""
        if not self.options:
            return _no_way(self._candidates)
        if self._stopped is not None:
            return Wait(until_ms=self._stopped.ready_ms, reason=CLIENT_STOPPED)
        if not self._ready:
            first = min(self.options, key=lambda option: option.ready_ms)
            return Wait(until_ms=first.ready_ms, reason=first.reason)
        best = self._ready[-1]
        soon = _worth_waiting(self.options, best.way.rank, self._shunned, self._now_ms + self._patience_ms)
        if soon is not None and self._urgent:
            inside = next((option for option in reversed(self._ready) if option.way.inside_tenant), None)
            return soon if inside is None else Take(way=inside.way)
        return soon or Take(way=best.way)

    def short(self, account: str, shortage: Shortage) -> None:
        """An account turned out to have no budget, or no place, for now."""
        if shortage.until_ms <= self._now_ms:
            return
        self.options = [
            _Option(way=option.way, ready_ms=shortage.until_ms, reason=shortage.reason, healthy=True)
            if option.healthy and option.way.account == account
            else option
            for option in self.options
        ]
        self._ready = [option for option in self._ready if option.way.account != account]


def choose(
    candidates: Sequence[Candidate],
    availability: Mapping[str, Availability],
    budget: Mapping[str, Shortage],
    now_ms: int,
    *,
    load: Mapping[str, int] | None = None,
    last_way: str = "",
    avoid: Collection[str] = (),
    doubtful: Collection[str] = (),
    urgent: bool = False,
    patience_ms: int = PATIENCE_MS,
    explain: bool = False,
) -> Take | Wait | NoWay:
    """Decide for one message.

    ``availability`` by way name (a missing one is available), ``budget`` by account scope (a missing one has some),
    ``load`` by account scope: messages used lately, to rotate. ``avoid``: path kinds that would refuse this mail as
    the last way did. ``doubtful``: names of ways not to be relied on while another is ready. ``urgent``: the mail's
    priority. ``explain`` fills ``lines`` (costs time; off in the dispatch loop).
    """
    choice = Choice(
        candidates, availability, budget, now_ms,
        load=load, last_way=last_way, avoid=avoid, doubtful=doubtful, urgent=urgent, patience_ms=patience_ms,
    )  # fmt: skip
    decision = choice.decide()
    if not explain:
        return decision
    return msgspec.structs.replace(decision, lines=_explain(candidates, choice.options, decision, now_ms, last_way))


def _option(way: Way, availability: Mapping[str, Availability], budget: Mapping[str, Shortage], now_ms: int) -> _Option:
    health = availability.get(way.name)
    if health is not None and not health.ok:
        until_ms = health.until_ms if health.until_ms is not None else now_ms + LOOK_AGAIN_MS
        return _Option(way=way, ready_ms=max(until_ms, now_ms + 1), reason=health.reason, healthy=False)
    short = budget.get(way.account)
    if short is not None and short.until_ms > now_ms:
        return _Option(way=way, ready_ms=short.until_ms, reason=short.reason, healthy=True)
    return _Option(way=way, ready_ms=now_ms, reason="", healthy=True)


def _preference(way: Way, load: Mapping[str, int]) -> tuple[int, bool, int, str]:
    return way.rank, not way.own, load.get(way.account, 0), way.account


def _worth_waiting(options: list[_Option], rank: int, shunned: _Shunned, until_ms: int) -> Wait | None:
    preferred = [
        option
        for option in options
        if option.healthy and option.way.rank < rank and option.ready_ms <= until_ms and not shunned.covers(option.way)
    ]
    if not preferred:
        return None
    first = min(preferred, key=lambda option: option.ready_ms)
    return Wait(until_ms=first.ready_ms, reason=first.reason)


def _no_way(candidates: Sequence[Candidate]) -> NoWay:
    causes = {item.cause for item in candidates}
    cause = next((cause for cause in _CAUSES if cause in causes), Cause.NOT_SET_UP)
    why = "; ".join(dict.fromkeys(f"{item.way.name.rstrip(':')}: {item.why_not}" for item in candidates))
    return NoWay(
        reason=cause.value,
        why=why or "the route names no path",
        bounce=cause is Cause.SIZE or (bool(causes) and causes <= _NEVER),
    )


def _explain(
    candidates: Sequence[Candidate],
    options: Sequence[_Option],
    decision: Take | Wait | NoWay,
    now_ms: int,
    last_way: str,
) -> tuple[str, ...]:
    by_name = {option.way.name: option for option in options}
    lines = []
    for item in candidates:
        option = by_name.get(item.way.name)
        if not item.ok or option is None:
            lines.append(f"no    {item.way.name}: {item.why_not}")
        elif option.ready_ms > now_ms:
            lines.append(f"later {item.way.name}: {option.reason}, in {(option.ready_ms - now_ms) / 1000:.0f} s")
        else:
            lines.append(
                f"ready {item.way.name}" + (", but failed there last time" if option.way.name == last_way else "")
            )
    return (*lines, _said(decision, now_ms))


def _said(decision: Take | Wait | NoWay, now_ms: int) -> str:
    if isinstance(decision, Take):
        return f"take {decision.way.name}"
    if isinstance(decision, Wait):
        return f"wait {(decision.until_ms - now_ms) / 1000:.0f} s: {decision.reason}"
    return f"no way: {decision.why}"
