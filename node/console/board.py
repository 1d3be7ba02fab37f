"""Limits, ways and clients: what is used, what rests, who sends."""

from node.cluster.contract import BudgetUse
from node.console.visit import Page, Visit

KINDS = {
    "permits": "messages a minute",
    "day": "recipients of 24 h",
    "external": "external recipients of 24 h",
    "slots": "sessions",
    "client": "messages of a client",
}


async def budget(visit: Visit) -> Page:
    """Every limit, the fullest first."""
    return Page(template="budget.html", values=await _limits(visit))


async def budget_live(visit: Visit) -> Page:
    """The table alone."""
    return Page(template="budget_live.html", values=await _limits(visit))


async def _limits(visit: Visit) -> dict[str, object]:
    uses: list[BudgetUse] = await visit.look("/v1/budget")
    shares = await visit.look("/v1/shares")
    ordered = sorted(uses, key=lambda use: (-use.used / max(use.limit, 1), use.scope))
    return {"uses": ordered, "shares": shares, "kinds": KINDS}


async def accounts(visit: Visit) -> Page:
    """Accounts, paths, and whatever else rests or is parked, each with the last reply that mail got on it."""
    ways = await visit.look("/v1/accounts")
    return Page(template="accounts.html", values={"ways": ways})


async def clients(visit: Visit) -> Page:
    """Clients seen since the start, the weak ones first."""
    seen = await visit.look("/v1/clients")
    ordered = sorted(seen, key=lambda one: (-sum(one.weaknesses.values()), one.client))
    return Page(template="clients.html", values={"clients": ordered})
