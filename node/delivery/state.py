"""What the back door is doing, as values for ``relayctl status`` and the console. Reads; changes nothing."""

from collections.abc import Iterable, Mapping

import msgspec

from node.delivery.heard import LastReply
from node.delivery.job import Job
from node.delivery.lanes import Lane
from node.delivery.pool import Pool
from node.policy.health import HealthBook
from node.policy.standing import Standing

MAX_ATTEMPTS_SHOWN = 200
MAX_LANES_SHOWN = 200


class WayState(msgspec.Struct, frozen=True, kw_only=True):
    """One way."""

    way: str
    path: str
    account: str
    tenant: str
    host: str
    connections_open: int
    attempts: int
    limit: int
    opened: int
    """Connections made since the start."""
    last: LastReply | None = None
    """None: nothing was heard on it since the start."""


class AttemptState(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt under way."""

    attempt_id: str
    message_id: str
    way: str
    recipients: int
    since_ms: int


class RestingLane(msgspec.Struct, frozen=True, kw_only=True):
    """A lane that waits, and why."""

    lane: str
    reason: str


class DeliveryState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment; lists are cut at their bounds, counts are not."""

    at_ms: int
    ways: tuple[WayState, ...]
    standings: dict[str, Standing]
    """Scopes that rest, probe or are parked."""
    attempts: tuple[AttemptState, ...]
    attempts_total: int
    lanes: int
    resting: tuple[RestingLane, ...]


def describe(
    pools: Mapping[str, Pool],
    health: HealthBook,
    jobs: Iterable[Job],
    lanes: Iterable[Lane],
    now_ms: int,
    heard: Mapping[str, LastReply],
) -> DeliveryState:
    """Take the picture."""
    running, known = list(jobs), list(lanes)
    waiting = [lane for lane in known if lane.rest_reason]
    return DeliveryState(
        at_ms=now_ms,
        ways=tuple(_way(pool, heard) for pool in pools.values()),
        standings=dict(health.entries),
        attempts=tuple(_attempt(job) for job in running[:MAX_ATTEMPTS_SHOWN]),
        attempts_total=len(running),
        lanes=len(known),
        resting=tuple(RestingLane(lane=lane.name, reason=lane.rest_reason) for lane in waiting[:MAX_LANES_SHOWN]),
    )


def _way(pool: Pool, heard: Mapping[str, LastReply]) -> WayState:
    endpoint = pool.endpoint
    return WayState(
        way=endpoint.way,
        path=endpoint.path,
        account=endpoint.account,
        tenant=endpoint.tenant,
        host=endpoint.place,
        connections_open=pool.open_connections,
        attempts=pool.busy,
        limit=pool.limit,
        opened=pool.opened,
        last=heard.get(endpoint.way),
    )


def _attempt(job: Job) -> AttemptState:
    return AttemptState(
        attempt_id=job.attempt_id,
        message_id=job.message.id,
        way=job.way.name,
        recipients=len(job.recipients),
        since_ms=job.started_ns // 1_000_000,
    )
