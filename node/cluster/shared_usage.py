"""What is used of shared limits, as lines: this node's part, the others', what is not given out, and who waits."""

from typing import Any

from coordinator.budget import shares
from coordinator.budget.day_part import DayPart
from coordinator.budget.forecast import exhausted_ms
from node.cluster.contract import BudgetUse
from node.cluster.permit_part import PermitPart
from node.cluster.shared_account import SharedAccount
from node.cluster.slot_part import SlotPart
from node.cluster.usage import DAY_S


def account_lines(scope: str, account: SharedAccount, now_ms: int) -> list[BudgetUse]:
    """Permits, day and slots of one account, those with a limit."""
    limits = account.limits
    lines = [permits_line(scope, "permits", limits.window_s, account.permits, now_ms)] if limits.messages else []
    lines += [day_line(scope, "day", account.lots.day, now_ms)] if limits.recipients_24h else []
    return lines + ([slots_line(scope, limits.sessions, account.slots)] if limits.sessions else [])


def tenant_line(tenant: str, day: DayPart, now_ms: int) -> BudgetUse:
    """The external limit of one tenant."""
    return day_line(tenant, "external", day, now_ms)


def permits_line(scope: str, kind: str, window_s: float, part: PermitPart[Any], now_ms: int) -> BudgetUse:
    """One shared rate."""
    record = part.holding.record or {}
    free_ms = part.permits.next_free_ms(now_ms) if part.permits.limit else now_ms
    return BudgetUse(
        scope=scope,
        kind=kind,
        limit=part.holding.limit,
        used=part.permits.out(now_ms),
        window_s=window_s,
        retry_ms=free_ms if free_ms > now_ms else 0,
        share=part.holding.share,
        shares={
            name.removeprefix(shares.SHARE): count for name, count in record.items() if name.startswith(shares.SHARE)
        },
        unshared=record.get(shares.POOL, 0 if record else part.holding.limit),
        waiting=tuple(dict.fromkeys(shares.urgently_waiting(record) + shares.waiting(record))),
        fault=part.fault,
    )


def day_line(scope: str, kind: str, day: DayPart, now_ms: int) -> BudgetUse:
    """One day limit: what everybody has used, lots at hand elsewhere counted as used."""
    at_hand = day.free + day.spare
    used, free_ms = max(0, day.used(now_ms) - at_hand), day.free_at_ms(1, now_ms)
    counts = {int(start): units for start, units in day.counts.items()}
    return BudgetUse(
        scope=scope,
        kind=kind,
        limit=day.limit,
        used=used,
        window_s=DAY_S,
        retry_ms=free_ms if free_ms > now_ms else 0,
        exhausted_ms=exhausted_ms(counts, day.limit, now_ms),
        share=at_hand,
        unshared=max(0, day.left(now_ms)),
        fault=day.fault,
    )


def slots_line(scope: str, limit: int, part: SlotPart) -> BudgetUse:
    """Connections of one account, in the whole cluster."""
    scene = part.scene
    held: dict[str, int] = {}
    for item in scene.slots.values():
        node = item.value.decode(errors="replace").partition("/")[0]
        held[node] = held.get(node, 0) + 1
    return BudgetUse(
        scope=scope,
        kind="slots",
        limit=limit,
        used=len(scene.slots) + len(scene.lingering_ms),
        window_s=0.0,
        share=part.held(),
        shares=held,
        waiting=scene.queue(),
        fault=part.fault,
    )
