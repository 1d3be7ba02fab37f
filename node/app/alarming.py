"""Posts alarms to a webhook, so that whoever must know of trouble with mail does not wait for mail.

The body is what Prometheus' Alertmanager takes at ``/api/v2/alerts``: a list of labels, annotations, start and end. A
post that fails is repeated at the next look; the log has every alarm too.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from node.admin.control import ClientView
from node.delivery.clock import steady_ms, wall_ms
from node.m365.errors import HttpFailed
from node.m365.https import Https
from node.policy.alarms import Board, Bounds, Facts, Known, Limit, Rest, Weak, standing
from node.policy.endings import end_of_ms
from node.settings.alarms import Alarms
from node.settings.headers import headers_in
from node.settings.mail import Client

if TYPE_CHECKING:
    from node.app.node import Node

LOOK_EVERY_S: Final = 5.0
POST_S: Final = 10.0
TAKEN: Final = range(200, 300)
DAYS: Final = ("day", "external")
STANDS: Final = ("resting", "parked")
_log = logging.getLogger(__name__)


class Alarming:
    """The alarms of one node."""

    def __init__(self, node: "Node", settings: Alarms) -> None:
        """Raises ConfigurationError when the headers cannot be read."""
        self._node, self._settings = node, settings
        self._board = Board(settings.repeat)
        self._https = Https(node.settings.egress)
        self._headers = headers_in(settings.headers, "alarms.headers") | {"content-type": "application/json"}
        self._silent = False
        """The last post failed: told once, not each time."""

    async def look(self) -> None:
        """See what stands and post what is due."""
        now_ms, settings = wall_ms(), self._settings
        bounds = Bounds(
            nothing_delivered_s=settings.nothing_delivered,
            urgent_waits_s=settings.urgent_waits,
            rests_s=settings.rests,
        )
        now, over = self._board.look(standing(self._facts(now_ms), bounds), now_ms)
        if not now and not over:
            return
        for known in (one for one in now if not one.logged):
            known.logged = True
            _log.warning("%s", known.alarm.text, extra={"alarm": True, "reason": known.alarm.name})
        if await self._post(now, over, now_ms):
            self._board.told(now, over, now_ms)

    def _facts(self, now_ms: int) -> Facts:
        node = self._node
        protection = node.protection
        uses = [use for use in node.budgets.use(steady_ms()) if use.kind in DAYS]
        return Facts(
            now_ms=now_ms,
            shut=() if node.retreat.gone else node.control.readiness().reasons,
            oldest_ms=node.levels.counts.oldest_received_ms,
            delivered_ms=max(node.started_ms, node.delivery.delivered_ms if node.delivery else 0),
            rests=tuple(
                Rest(scope=way.account, state=way.state, reason=way.reason)
                for way in node.control.ways()
                if way.state in STANDS
            ),
            limits=tuple(
                Limit(scope=one.scope, kind=one.kind, used=one.used, limit=one.limit, exhausted_ms=one.exhausted_ms)
                for one in uses
            ),
            troubles=tuple(node.credentials.known_troubles()),
            unprotected=protection.copying.unprotected if protection is not None else 0,
            strangers=node.chores.arrivals.strangers(),
            quarantined=protection is not None and bool(protection.quarantined),
            weak=tuple(weak_of(node.control.clients(), node.settings.clients)),
        )

    async def _post(self, now: Iterable[Known], over: Iterable[Known], now_ms: int) -> bool:
        ends_ms = now_ms + int(3_000 * self._settings.repeat)
        alerts = [self._alert(one, ends_ms) for one in now] + [self._alert(one, now_ms) for one in over]
        try:
            url = self._settings.webhook
            answer = await self._https.ask("POST", url, self._headers, json.dumps(alerts).encode(), timeout_s=POST_S)
            trouble = "" if answer.status in TAKEN else f"it answers {answer.status}"
        except (HttpFailed, TimeoutError) as error:
            trouble = str(error) or "no answer in time"
        if trouble and not self._silent:
            _log.error("alarms.webhook: %s; alarms stand in the log alone until it answers", trouble)
        self._silent = bool(trouble)
        return not trouble

    def _alert(self, known: Known, ends_ms: int) -> dict[str, Any]:
        loaded, cluster, alarm = self._node.loaded, self._node.settings.cluster, known.alarm
        labels = {"alertname": alarm.name, "severity": alarm.severity.value, "node": loaded.node, "about": alarm.key}
        return {
            "labels": labels | ({"cluster": cluster.name} if cluster is not None else {}),
            "annotations": {"summary": f"{loaded.node}: {alarm.text}"},
            "startsAt": _moment(known.since_ms),
            "endsAt": _moment(ends_ms),
        }

    async def close(self) -> None:
        """End connections."""
        await self._https.close()


def weak_of(seen: Iterable[ClientView], clients: Mapping[str, Client]) -> Iterable[Weak]:
    """Give the clients seen to be weak since the start whose configuration says up to when they may be."""
    for one in seen:
        rule = clients.get(one.client)
        if one.weaknesses and rule is not None and rule.weak_until is not None:
            ends_ms, owner = end_of_ms(rule.weak_until), str(rule.owner or "")
            yield Weak(client=one.client, what=tuple(sorted(one.weaknesses)), owner=owner, ends_ms=ends_ms)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
