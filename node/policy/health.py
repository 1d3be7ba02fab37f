"""What rests: the standing of every scope a verdict spoke of, kept in one bounded book. Pure; ``now`` is handed in.

Healthy scopes have no entry, so a healthy relay pays one look at an empty dictionary. Scopes are named in ``scopes``.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from node.policy.envelope import Direction
from node.policy.route import Way
from node.policy.scopes import client_scope, failed_scope, path_scope, scopes_of, site_scope
from node.policy.standing import HEALTHY, Event, Standing, State, step
from node.policy.verdict import Hint, Outcome, Scope, Verdict

CLIENT_STOPPED: Final = "content_blocked"
"""Reason of a client whose mail the upstream took for spam: it is not tried on other accounts (facts m365 §7)."""
MAX_ENTRIES: Final = 10_000
STRIKES_TO_BREAK: Final = 5
"""Connection failures in a row before a path rests for this site (facts m365 §4.2 row 1)."""
BROKEN_REST_S: Final = (60.0,)
CORRELATE_MS: Final = 300_000
"""The same failure on two accounts within this is their path's (facts m365 §4.1, rule 6)."""
WIDENED_REST_S: Final = (300.0,)
"""All accounts of an app fail: one probe per 5 min (facts m365 §4.3 row 1)."""
PROBE_LOOK_MS: Final = 2_000
"""When to look again at a scope that is probed: here, or by somebody else perhaps."""
PAIR_LOOK_MS: Final = 30_000
"""The same for a From, whose mail waits message by message, written down."""


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a way may be used now."""

    ok: bool = True
    until_ms: int | None = None
    """When to ask again; None with ``ok`` False: parked, no time known."""
    reason: str = ""
    scope: str = ""
    """The resting scope."""
    probe: bool = False
    """The attempt would be the probe of a scope whose rest ended: begin one only."""


AVAILABLE: Final = Availability()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A scope's standing changed: for logs, metrics, alarms and the store."""

    scope: str
    before: Standing
    after: Standing


def correlated(failed: dict[str, int], succeeded: dict[str, int], now_ms: int, within_ms: int = CORRELATE_MS) -> bool:
    """Tell whether failures alike (account → when) mean the path: two accounts or more, and none worked meanwhile."""
    since_ms = now_ms - within_ms
    recent = [at_ms for at_ms in failed.values() if at_ms >= since_ms]
    return len(recent) > 1 and not any(at_ms >= min(recent) for at_ms in succeeded.values())


def breaks_everywhere(broken: dict[str, bool]) -> bool:
    """Tell whether a path is down for the cluster: every site that tried agrees (operations M10); no site: no."""
    return bool(broken) and all(broken.values())


class HealthBook:
    """Standings by scope, at most ``MAX_ENTRIES``; the rests that end first are forgotten first, parked ones never."""

    def __init__(self, site: str = "", entries: dict[str, Standing] | None = None) -> None:
        """Start empty or with the entries kept from before; ``site`` names where this node's connections leave."""
        self.site = site
        self.entries: dict[str, Standing] = dict(entries or {})
        self.may_probe: Callable[[str], bool] = lambda _: True
        """Asked before an attempt may be a scope's probe: in a cluster one node probes, the others wait."""
        self._broken: dict[str, int] = {}
        self._alike: dict[tuple[str, str], dict[str, int]] = {}
        self._worked: dict[str, dict[str, int]] = {}

    def available(
        self, way: Way, header_from: str, now_ms: int, *, direction: Direction = Direction.EXTERNAL, client: str = ""
    ) -> Availability:
        """Say whether a message from ``header_from`` may use the way now; the scope resting longest decides."""
        if not self.entries:
            return AVAILABLE
        probe, worst = False, AVAILABLE
        for scope in scopes_of(way, header_from, self.site, direction, client):
            standing = self.entries.get(scope)
            if standing is None:
                continue
            blocks = standing.blocks(now_ms)
            probes = not blocks and step(standing, Event.PROBED, now_ms).state is State.PROBING
            if (blocks and standing.state is State.PROBING) or (probes and not self.may_probe(scope)):
                # When the probe lapses is no time to wait for: it says within moments how the scope stands.
                worst = _worse(worst, scope, _looked_at(scope, standing, now_ms))
            elif blocks:
                worst = _worse(worst, scope, standing)
            else:
                probe = probe or probes
        return Availability(probe=True) if probe and worst.ok else worst

    def begin(
        self, way: Way, header_from: str, now_ms: int, *, direction: Direction = Direction.EXTERNAL, client: str = ""
    ) -> tuple[Change, ...]:
        """Note that an attempt starts: scopes whose long rest ended become *probing*, closed to others until told."""
        if not self.entries:
            return ()
        scopes = scopes_of(way, header_from, self.site, direction, client)
        return self._apply([(scope, Event.PROBED, None) for scope in scopes], now_ms)

    def note(
        self,
        way: Way,
        header_from: str,
        verdict: Verdict,
        now_ms: int,
        *,
        direction: Direction = Direction.EXTERNAL,
        client: str = "",
    ) -> tuple[Change, ...]:
        """Take in what an attempt showed and give the standings that changed.

        Call once per attempt and distinct verdict, after the conversation has done what the verdict's ``hint`` asks
        (``NEW_TOKEN``, ``RECONNECT``) and failed again.
        """
        if verdict.outcome is Outcome.DELIVERED:
            return self._delivered(way, header_from, now_ms, direction, client)
        failed, judged = self._failed(way, header_from, verdict, now_ms)
        events: list[tuple[str, Event, Verdict | None]] = []
        site = site_scope(way, self.site)
        for scope in scopes_of(way, header_from, self.site, direction, client):
            answered = scope == site and verdict.scope not in (Scope.CONNECTION, Scope.PATH_SITE)
            if scope != failed:
                events.append((scope, Event.SUCCEEDED if answered else Event.ABANDONED, None))
        if verdict.scope not in (Scope.CONNECTION, Scope.PATH_SITE):
            self._broken.pop(site, None)
        if failed:
            events.append((failed, Event.FAILED, judged))
        if verdict.widens:
            events.extend(self._widened(way, verdict, now_ms))
        changes = self._apply(events, now_ms)
        return changes + self._stopped(client, verdict, now_ms)

    def park(self, scope: str, now_ms: int, *, reason: str, by: str) -> tuple[Change, ...]:
        """Let a scope rest until resumed, on an operator's word."""
        return self._set(scope, step(self.entries.get(scope, HEALTHY), Event.PARK, now_ms, reason=reason, by=by))

    def resume(self, scope: str, now_ms: int) -> tuple[Change, ...]:
        """End any rest of a scope and of its parts at once, strikes forgotten."""
        self._broken.pop(scope, None)
        return tuple(change for name in self.parts(scope) for change in self.free(name, now_ms))

    def free(self, scope: str, now_ms: int) -> tuple[Change, ...]:
        """The same for a scope alone, whatever of it rests."""
        self._broken.pop(scope, None)
        return self._set(scope, step(self.entries.get(scope, HEALTHY), Event.RESUME, now_ms))

    def parts(self, scope: str) -> list[str]:
        """Name the scope and the parts of it (``scope#…``) that do not stand healthy."""
        return [name for name in self.entries if name == scope or name.startswith(f"{scope}#")]

    def adopt(self, scope: str, standing: Standing) -> tuple[Change, ...]:
        """Take over what another node found out about a scope."""
        if standing.state is State.HEALTHY:
            self._broken.pop(scope, None)
        return self._set(scope, standing)

    def worked_ms(self, path: str) -> int:
        """Give the last time anything was delivered on a path (by its scope) since the start; 0: never."""
        return max(self._worked.get(path, {}).values(), default=0)

    def encode(self) -> bytes:
        """Give the entries as JSON, to be kept or shown."""
        return msgspec.json.encode(self.entries)

    @classmethod
    def decode(cls, data: bytes, site: str = "") -> "HealthBook":
        """Rebuild a book from ``encode``; raises ValueError naming the place of what does not fit."""
        return cls(site, msgspec.json.decode(data, type=dict[str, Standing]))

    def _delivered(
        self, way: Way, header_from: str, now_ms: int, direction: Direction, client: str
    ) -> tuple[Change, ...]:
        self._broken.pop(site_scope(way, self.site), None)
        self._worked.setdefault(path_scope(way), {})[way.account] = now_ms
        if not self.entries:
            return ()
        scopes = scopes_of(way, header_from, self.site, direction, client)
        return self._apply([(scope, Event.SUCCEEDED, None) for scope in scopes], now_ms)

    def _failed(self, way: Way, header_from: str, verdict: Verdict, now_ms: int) -> tuple[str, Verdict]:
        """Name the scope that failed, empty for none; a lost connection becomes its site's after enough of them."""
        if verdict.scope is not Scope.CONNECTION:
            return failed_scope(way, header_from, self.site, verdict), verdict
        if verdict.hint is Hint.RECONNECT or verdict.outcome is Outcome.UNKNOWN:
            return "", verdict
        scope = site_scope(way, self.site)
        self._broken[scope] = self._broken.get(scope, 0) + 1
        known = self.entries.get(scope)
        waited_for = known is not None and (known.state is State.PROBING or not known.blocks(now_ms))
        if self._broken[scope] < STRIKES_TO_BREAK and not waited_for:
            return "", verdict
        # Who is refused for his token has a line that works: he must not be sent to look at network and DNS.
        reason = verdict.reason if verdict.hint is Hint.NEW_TOKEN else "path_broken"
        rest = {"cool_down_s": BROKEN_REST_S[0], "schedule": BROKEN_REST_S, "alert": True}
        return scope, msgspec.structs.replace(verdict, reason=reason, **rest)

    def _widened(self, way: Way, verdict: Verdict, now_ms: int) -> list[tuple[str, Event, Verdict | None]]:
        path = path_scope(way)
        alike = self._alike.setdefault((path, verdict.reason), {})
        alike[way.account] = now_ms
        if not correlated(alike, self._worked.get(path, {}), now_ms):
            return []
        wide = msgspec.structs.replace(
            verdict, cool_down_s=WIDENED_REST_S[0], schedule=WIDENED_REST_S, park=False, alert=True
        )
        return [(path, Event.FAILED, wide)]

    def _stopped(self, client: str, verdict: Verdict, now_ms: int) -> tuple[Change, ...]:
        if not verdict.stops_client or not client:
            return ()
        return self.park(client_scope(client), now_ms, reason=CLIENT_STOPPED, by=verdict.reason)

    def _apply(self, events: list[tuple[str, Event, Verdict | None]], now_ms: int) -> tuple[Change, ...]:
        changes: tuple[Change, ...] = ()
        for scope, event, verdict in events:
            before = self.entries.get(scope)
            if before is not None or event is Event.FAILED:
                changes += self._set(scope, step(before or HEALTHY, event, now_ms, verdict=verdict))
        return changes

    def _set(self, scope: str, after: Standing) -> tuple[Change, ...]:
        before = self.entries.get(scope, HEALTHY)
        if after == before:
            return ()
        if after.state is State.HEALTHY:
            self.entries.pop(scope, None)
        elif scope in self.entries or self._room():
            self.entries[scope] = after
        return (Change(scope=scope, before=before, after=after),)

    def _room(self) -> bool:
        if len(self.entries) < MAX_ENTRIES:
            return True
        ends = ((kept.until_ms, scope) for scope, kept in self.entries.items() if kept.until_ms is not None)
        first = min(ends, default=None)
        if first is not None:
            del self.entries[first[1]]
        return first is not None


def _looked_at(scope: str, standing: Standing, now_ms: int) -> Standing:
    look_ms = PAIR_LOOK_MS if scope.startswith("pair/") else PROBE_LOOK_MS
    return msgspec.structs.replace(standing, until_ms=now_ms + look_ms)


def _worse(worst: Availability, scope: str, standing: Standing) -> Availability:
    """Of two rests the one without an end, then the longer; a stopped client before all, since choosing must see it."""
    found = Availability(ok=False, until_ms=standing.until_ms, reason=standing.reason, scope=scope)
    if worst.ok or standing.reason == CLIENT_STOPPED:
        return found
    if worst.reason == CLIENT_STOPPED or worst.until_ms is None:
        return worst
    return found if standing.until_ms is None or standing.until_ms > worst.until_ms else worst
