"""How many accounts, tenants, nodes and sites a volume of mail needs. Pure arithmetic on published limits.

Limits: Microsoft's, for a mailbox (facts m365 §2.1) and for a tenant's external recipients (§2.2). What the relay makes
of them: ``USED`` of a minute's limit (measured: docs/performance.md), two of three sessions, and a day that is counted
in quarter hours of which the oldest counts whole. Every number is rounded to the safe side.
"""

import math
from dataclasses import dataclass
from typing import Final

MESSAGES_PER_MINUTE: Final = 30
RECIPIENTS_PER_DAY: Final = 10_000
SESSIONS_USED: Final = 2
"""Of three; the third covers sessions of a vanished host."""
USED: Final = 0.97
DAY_USED: Final = 96 / 97
"""A day of 96 quarter hours and the one that is passing."""
MESSAGE_MAX_BYTES: Final = 35 << 20
"""MaxSendSize of a mailbox unless raised."""
MESSAGE_RAISED_BYTES: Final = 150 << 20
RECIPIENTS_PER_MESSAGE: Final = 500
ACCOUNTS_PER_CLUSTER: Final = 100
"""So many were measured under one cluster."""
MINUTES_PER_DAY: Final = 1440
NODES_LEAST: Final = 3
"""One lost, two still hold a copy each."""
NODES_PER_SITE: Final = 2
QUEUE_COPIES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What is to be sent."""

    messages_per_day: int
    recipients_each: float = 1.0
    """Recipients of a message, on average."""
    external_share: float = 1.0
    """Part of the recipients outside the tenant's domains."""
    size_bytes: int = 64 << 10
    """Average."""
    largest_bytes: int = 10 << 20
    peak_per_minute: int = 0
    """Messages in the busiest minutes; 0: the day's average."""
    peak_minutes: int = 60
    """So long the peak lasts."""
    patience_minutes: int = 10
    """So late the last message of the peak may leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What there is to stand on."""

    licences: int = 0
    """Of the tenant; its external limit follows. 0: not known, and not judged."""
    answer_s: float = 1.0
    """Time to the final answer of a small message."""
    session_bytes_per_s: int = 2 << 20
    """What one session carries to Microsoft."""
    node_per_s: int = 300
    """Messages a second one node takes in; measure yours with `make bench`."""
    spare_accounts: int = 1
    """So many may be parked or refused."""
    lose_site: bool = False
    """A whole site may be lost."""
    outage_hours: float = 24.0
    """So long Microsoft may be out of reach before mail is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is needed, and what decided it."""

    accounts: int
    """Service accounts, spare ones included."""
    by: str
    """``day``, ``peak`` or ``sessions``: which limit asks for so many."""
    account_per_minute: float
    """What one account sends steadily."""
    drains_per_minute: float
    """What all but the spare ones send together."""
    late_minutes: float
    """How late the last message of the peak leaves."""
    tenants: int
    """Tenants over which external recipients must be spread; 0: not known."""
    clusters: int
    nodes: int
    """In each cluster."""
    sites: int
    disk_bytes: int
    """For the queue of an outage, on each node that is left after one is lost."""
    paths: tuple[str, ...]
    notes: tuple[str, ...]


class ImpossibleError(ValueError):
    """No number of accounts would do; says what and why."""


def plan(volume: Volume, ground: Ground) -> Plan:
    """Give what a volume needs. Raises ImpossibleError."""
    _check(volume, ground)
    each = account_per_minute(volume, ground)
    needed, by = accounts(volume, ground)
    clusters = math.ceil((needed + ground.spare_accounts) / ACCOUNTS_PER_CLUSTER)
    tenants = tenants_for(volume, ground)
    nodes, sites = _machines(volume, ground, clusters)
    return Plan(
        accounts=needed + ground.spare_accounts,
        by=by,
        account_per_minute=each,
        drains_per_minute=each * needed,
        late_minutes=late_minutes(volume, each * needed),
        tenants=tenants,
        clusters=clusters,
        nodes=nodes,
        sites=sites,
        disk_bytes=_disk(volume, ground, nodes * clusters),
        paths=_paths(volume),
        notes=_notes(volume, ground, clusters=clusters, tenants=tenants),
    )


def account_per_minute(volume: Volume, ground: Ground) -> float:
    """Give what one account sends steadily, in messages a minute: its rate, or what two sessions carry."""
    took_s = ground.answer_s + volume.size_bytes / ground.session_bytes_per_s
    return min(MESSAGES_PER_MINUTE * USED, SESSIONS_USED * 60 / took_s)


def accounts(volume: Volume, ground: Ground) -> tuple[int, str]:
    """Give the accounts without spare ones, and which limit asks for so many."""
    each = account_per_minute(volume, ground)
    rate = "peak" if each >= MESSAGES_PER_MINUTE * USED else "sessions"
    day = volume.messages_per_day * volume.recipients_each / (RECIPIENTS_PER_DAY * DAY_USED)
    total, until = _peak(volume)
    wanted = {"day": day, rate: max(total / until, volume.messages_per_day / MINUTES_PER_DAY) / each}
    by = max(wanted, key=lambda name: wanted[name])
    return max(1, math.ceil(round(wanted[by], 9))), by


def late_minutes(volume: Volume, drains_per_minute: float) -> float:
    """Give how long after the peak its last message leaves."""
    total, _ = _peak(volume)
    return max(0.0, total / drains_per_minute - volume.peak_minutes)


def external_limit(licences: int) -> int:
    """Give a tenant's external recipients in 24 h (TERRL, facts m365 §2.2)."""
    return math.floor(500 * licences**0.7 + 9500) if licences else 0


def tenants_for(volume: Volume, ground: Ground) -> int:
    """Give over how many tenants of this size external recipients must be spread; 0: licences are not known."""
    limit = external_limit(ground.licences)
    if not limit:
        return 0
    external = volume.messages_per_day * volume.recipients_each * volume.external_share
    return max(1, math.ceil(round(external / (limit * DAY_USED), 9)))


def _peak(volume: Volume) -> tuple[float, int]:
    """Give the peak's messages, and the minutes in which they must be gone."""
    average = math.ceil(volume.messages_per_day / MINUTES_PER_DAY)
    total = (volume.peak_per_minute or average) * volume.peak_minutes
    return min(total, volume.messages_per_day), volume.peak_minutes + volume.patience_minutes


def _machines(volume: Volume, ground: Ground, clusters: int) -> tuple[int, int]:
    """Give nodes of each cluster, one more than the peak needs, and sites (the third only votes)."""
    per_minute = volume.peak_per_minute or math.ceil(volume.messages_per_day / MINUTES_PER_DAY)
    busy = math.ceil(per_minute / 60 / clusters / ground.node_per_s)
    if not ground.lose_site:
        return max(NODES_LEAST, busy + 1), 1
    return 2 * max(NODES_PER_SITE, busy), 3


def _disk(volume: Volume, ground: Ground, nodes: int) -> int:
    """Every message twice, and all of it on the nodes that are left."""
    waiting = volume.messages_per_day * ground.outage_hours / 24
    return math.ceil(waiting * volume.size_bytes * QUEUE_COPIES / max(1, nodes - 1))


def _paths(volume: Volume) -> tuple[str, ...]:
    """Name the paths in the order they should be tried."""
    if volume.external_share >= 1.0:
        return ("submission", "graph", "connector")
    return ("submission", "graph", "connector", "hve (recipients inside only)")


def _notes(volume: Volume, ground: Ground, *, clusters: int, tenants: int) -> tuple[str, ...]:
    found = ["graph uses the same budget of a mailbox as submission: it helps where a path fails, not with volume"]
    if volume.largest_bytes > MESSAGE_MAX_BYTES:
        found.append("messages above 35 MiB: raise MaxSendSize of every service account (150 MB at most)")
    if tenants > 1:
        found.append(
            "external recipients are limited for the tenant: more accounts do not help, more licences or tenants do"
        )
    if not ground.licences:
        found.append("licences were not given: the tenant's limit of external recipients is not judged")
    if clusters > 1:
        found.append(
            f"{clusters} clusters behind DNS, each with accounts of its own; a tenant's external limit is split"
            " between them by configuration, since clusters share no budget"
        )
    if ground.lose_site:
        found.append("two sites with nodes and a third with a member of etcd alone")
    if accounts(volume, ground)[1] != "day":
        found.append("the peak decides: with more patience, or by the connector, fewer accounts do")
    return tuple(found)


def _check(volume: Volume, ground: Ground) -> None:
    if volume.largest_bytes > MESSAGE_RAISED_BYTES:
        raise ImpossibleError("largest: no mailbox sends more than 150 MB in one message")
    if volume.recipients_each > RECIPIENTS_PER_MESSAGE:
        raise ImpossibleError("recipients: at most 500 in one message")
    if volume.size_bytes > volume.largest_bytes:
        raise ImpossibleError("size: the average is above the largest")
    if volume.messages_per_day < 1 or volume.recipients_each < 1 or not 0 <= volume.external_share <= 1:
        raise ImpossibleError("at least one message a day with one recipient, and an external share from 0 to 1")
    if ground.answer_s <= 0 or ground.session_bytes_per_s < 1 or ground.node_per_s < 1:
        raise ImpossibleError("answer, session speed and node speed are above 0")
