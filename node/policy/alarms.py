"""Which alarms stand, and which of them are to be posted now. Pure.

An alarm is known by its key. It must stand for its hold time before it is told, so that what mends itself wakes nobody;
it is told again at an interval while it stands, and once more when it is over.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

SHARE_TOLD: Final = 0.8
"""Of a day's limit (operations §2: alarm at 80 %)."""
RESTS: Final = {
    "tenant": "RelayTenantRests",
    "path": "RelayPathRests",
    "site": "RelayPathRests",
    "account": "RelayAccountRests",
}
"""What a resting scope is told as, by its kind; pairs and clients are nobody's alarm."""
DAY_MS: Final = 86_400_000
WEAK_TOLD_MS: Final = 30 * DAY_MS
"""Before a client's exception ends: time to replace a printer."""
SHORT_HOLD_S: Final = 30.0
UNPROTECTED_HOLD_S: Final = 120.0
"""After a node went or came its mail is copied anew within seconds."""


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    WARNING = "warning"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator should know."""

    key: str
    """What it is about: the same while it stands."""
    name: str
    """As the rule of the same meaning in ``node/monitoring/alerts.yaml``."""
    severity: Severity
    text: str
    hold_s: float = SHORT_HOLD_S


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a day and how much of it is used."""

    scope: str
    kind: str
    used: int
    limit: int
    exhausted_ms: int = 0
    """When it will be used up at this pace; 0 if not foreseen."""


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """A scope that rests or is parked."""

    scope: str
    state: str
    reason: str


class Weak(msgspec.Struct, frozen=True, kw_only=True):
    """A client that was seen to use what a modern listener refuses, and may do so up to a day."""

    client: str
    what: tuple[str, ...]
    """``old_tls``, ``clear_auth``, ``bare_lf``, ``lenient``."""
    owner: str
    ends_ms: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows of itself at one moment."""

    now_ms: int
    shut: tuple[str, ...] = ()
    """Why the node takes no mail; empty: it does, or it stops because it was told to."""
    oldest_ms: Mapping[str, int] = {}
    """When the oldest mail that waits was received, by priority."""
    delivered_ms: int = 0
    """When something was delivered last; the start, if nothing was."""
    rests: tuple[Rest, ...] = ()
    limits: tuple[Limit, ...] = ()
    troubles: tuple[str, ...] = ()
    """Credentials that end soon or are refused, in sentences."""
    unprotected: int = 0
    strangers: tuple[str, ...] = ()
    """Tenants whose mail by the connector arrives as anybody's."""
    quarantined: bool = False
    weak: tuple[Weak, ...] = ()


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """From when on something is an alarm, in seconds."""

    nothing_delivered_s: float
    urgent_waits_s: float
    rests_s: float


def standing(facts: Facts, bounds: Bounds) -> Iterator[Alarm]:
    """Give every alarm that stands."""
    if facts.shut:
        yield _alarm("door", "RelayDoorClosed", f"accepts no mail: {', '.join(facts.shut)}", Severity.CRITICAL)
    if facts.quarantined:
        yield _alarm("quarantine", "RelayQuarantined", "the spool is an older copy of itself", Severity.CRITICAL)
    if facts.unprotected:
        text = f"{facts.unprotected} messages lie on this machine only"
        yield _alarm("unprotected", "RelayUnprotected", text, hold_s=UNPROTECTED_HOLD_S)
    yield from _waiting(facts, bounds)
    for rest in facts.rests:
        yield from _resting(rest, bounds)
    for limit in facts.limits:
        yield from _used(limit, facts.now_ms)
    for weak in facts.weak:
        yield from _weak(weak, facts.now_ms)
    for tenant in facts.strangers:
        text = f"mail by the connector of tenant {tenant} arrives as anybody's: no connector matches"
        yield _alarm(f"arrival {tenant}", "RelayConnectorIsDirectSend", text, hold_s=0.0)
    for trouble in facts.troubles:
        yield _alarm(f"credential {trouble.partition(' ends ')[0]}", "RelayCredential", trouble, hold_s=0.0)


def _waiting(facts: Facts, bounds: Bounds) -> Iterator[Alarm]:
    since_ms = max(facts.delivered_ms, min(facts.oldest_ms.values(), default=facts.now_ms))
    if (silent_s := (facts.now_ms - since_ms) / 1000) > bounds.nothing_delivered_s:
        text = f"mail waits and none was delivered for {_minutes(silent_s)}"
        yield _alarm("delivery", "RelayNothingDelivered", text, Severity.CRITICAL, hold_s=0.0)
    urgent_s = (facts.now_ms - facts.oldest_ms.get("urgent", facts.now_ms)) / 1000
    if urgent_s > bounds.urgent_waits_s:
        text = f"urgent mail has waited for {_minutes(urgent_s)}"
        yield _alarm("urgent", "RelayUrgentWaits", text, Severity.CRITICAL, hold_s=0.0)


def _resting(rest: Rest, bounds: Bounds) -> Iterator[Alarm]:
    kind = rest.scope.partition("/")[0]
    if kind not in RESTS:
        return
    text = f"{rest.scope} is {rest.state}: {rest.reason or 'no reason given'}"
    severity = Severity.CRITICAL if kind == "tenant" else Severity.WARNING
    hold_s = 0.0 if kind == "tenant" else bounds.rests_s
    yield _alarm(f"rest {rest.scope}", RESTS[kind], text, severity, hold_s=hold_s)


def _used(limit: Limit, now_ms: int) -> Iterator[Alarm]:
    what = f"{limit.scope}: {limit.used} of {limit.limit} of its {limit.kind} limit are used"
    if limit.used >= SHARE_TOLD * limit.limit:
        yield _alarm(f"used {limit.scope} {limit.kind}", "RelayDayBudgetNearlyUsed", what)
    elif limit.exhausted_ms > now_ms:
        text = f"{what}; at this pace it ends in {_minutes((limit.exhausted_ms - now_ms) / 1000)}"
        yield _alarm(f"pace {limit.scope} {limit.kind}", "RelayDayBudgetRunsOut", text, hold_s=900.0)


def _weak(weak: Weak, now_ms: int) -> Iterator[Alarm]:
    left_ms = weak.ends_ms - now_ms
    if left_ms > WEAK_TOLD_MS:
        return
    when = f"ends in {left_ms // DAY_MS} days" if left_ms > 0 else "has ended"
    owner = f", ask {weak.owner}" if weak.owner else ""
    text = f"client {weak.client} still uses {', '.join(weak.what)}; its exception {when}{owner}"
    severity = Severity.WARNING if left_ms > 0 else Severity.CRITICAL
    yield _alarm(f"weak {weak.client}", "RelayWeakClient", text, severity, hold_s=0.0)


def _alarm(
    key: str, name: str, text: str, severity: Severity = Severity.WARNING, *, hold_s: float = SHORT_HOLD_S
) -> Alarm:
    return Alarm(key=key, name=name, severity=severity, text=text, hold_s=hold_s)


def _minutes(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{int(seconds)} s" if minutes < 1 else f"{minutes} min"


class Known(msgspec.Struct, kw_only=True):
    """An alarm as the board remembers it."""

    alarm: Alarm
    since_ms: int
    told_ms: int = 0
    """When it was posted last; 0: never."""
    logged: bool = False


class Board:
    """Remembers what stands; bounded by ``KEPT_MAX``, beyond which new alarms are not taken on."""

    KEPT_MAX: Final = 500

    def __init__(self, repeat_s: float) -> None:
        """Nothing stands."""
        self._repeat_ms = int(repeat_s * 1000)
        self._known: dict[str, Known] = {}
        self._over: dict[str, Known] = {}

    def look(self, now: Iterable[Alarm], now_ms: int) -> tuple[list[Known], list[Known]]:
        """Take in what stands now; give what is to be told as standing, and what as over. ``told`` ends it."""
        standing_now = {alarm.key: alarm for alarm in now}
        for key in self._known.keys() - standing_now.keys():
            gone = self._known.pop(key)
            if gone.told_ms:
                self._over[key] = gone
        for key, alarm in standing_now.items():
            self._over.pop(key, None)
            known = self._known.get(key)
            if known is not None:
                known.alarm = alarm
            elif len(self._known) < self.KEPT_MAX:
                self._known[key] = Known(alarm=alarm, since_ms=now_ms)
        return [one for one in self._known.values() if self._due(one, now_ms)], list(self._over.values())

    def _due(self, known: Known, now_ms: int) -> bool:
        if known.told_ms:
            return now_ms - known.told_ms >= self._repeat_ms
        return now_ms - known.since_ms >= known.alarm.hold_s * 1000

    def told(self, standing_: Iterable[Known], over: Iterable[Known], now_ms: int) -> None:
        """The receiver has taken these."""
        for one in standing_:
            one.told_ms = now_ms
        for one in over:
            self._over.pop(one.alarm.key, None)
