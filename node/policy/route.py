"""Which ways a message may go: tenant, ordered path kinds, accounts allowed for its From. Knows no health, no budget.

The order of the answer is the order of preference; what may not be used is listed with the reason, for people. What a
kind offers is said in ``kinds``, what tenants have in ``offers``.
"""

from node.policy.envelope import Direction, NewMessage
from node.policy.kinds import KINDS, Asked, refused
from node.policy.offers import (
    Account,
    Acs,
    Candidate,
    Cause,
    Connector,
    Directory,
    DirectSend,
    SmartHost,
    TenantWays,
    Way,
)
from node.policy.sample import PATH, SAMPLE

__all__ = (
    "Account",
    "Acs",
    "Candidate",
    "Cause",
    "Connector",
    "DirectSend",
    "Directory",
    "SmartHost",
    "TenantWays",
    "Way",
    "candidates",
    "default_sender",
)


def candidates(
    directory: Directory, message: NewMessage, direction: Direction, plan: str = ""
) -> tuple[Candidate, ...]:
    """List the ways for one message and direction, preferred first; ``plan`` defaults to the message's."""
    tenant = directory.tenants.get(message.tenant)
    kinds = (PATH,) if message.client == SAMPLE else directory.routes.get(direction, ())
    if tenant is None:
        why = "no tenant owns the sender's domain"
        ways = [Way(path=kind, tenant=message.tenant, rank=rank) for rank, kind in enumerate(kinds)]
        return tuple(refused(way, Cause.TENANT, why) for way in ways)
    may_leave = directory.may_leave(message.client, plan or message.plan)
    found: list[Candidate] = []
    for rank, kind in enumerate(kinds):
        asked = Asked(
            tenant=tenant,
            message=message,
            direction=direction,
            plan=plan or message.plan,
            may_leave=may_leave,
            rank=rank,
            rebuild=(plan or message.plan) in directory.rebuild_plans,
        )
        found.extend(_offered(kind, asked))
    return tuple(found)


def _offered(kind: str, asked: Asked) -> list[Candidate]:
    offers = KINDS.get(kind)
    if offers is None:
        way = Way(path=kind, tenant=asked.tenant.name, rank=asked.rank)
        return [refused(way, Cause.KIND, "path kind not available in this version")]
    return offers(asked)


def default_sender(directory: Directory, tenant: str) -> str:
    """Give the address our own reports come from where none is configured: one an account may surely use."""
    ways = directory.tenants.get(tenant)
    if ways is None:
        return ""
    accounts = sorted(ways.accounts, key=lambda account: bool(account.only))
    return accounts[0].mailbox if accounts else f"postmaster@{min(ways.domains, default='localhost')}"
