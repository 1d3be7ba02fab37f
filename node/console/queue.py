"""The queue and the history: the same list, narrowed in different ways."""

from typing import Any, Final

from node.console.listing import NAMES, TIMES, Listed, listed, named
from node.console.visit import Page, Visit
from node.errors import RelayError
from node.policy.envelope import RecipientState

WAITING: Final = ("queued", "deferred", "in_flight", "unknown", "held", "dead")
"""What the queue shows when no state is chosen."""


async def queue(visit: Visit) -> Page:
    """What waits, on all nodes."""
    wanted = named(visit.query, visit.now_ms)
    values = _form(visit, wanted) | {"narrowed": bool(wanted)}
    wanted.setdefault("states", ",".join(WAITING))
    return Page(template="queue.html", values=values | await _list(visit, wanted, "/console/queue"))


async def history(visit: Visit) -> Page:
    """What was sent, waiting or long done, on all nodes; asked only when something is named."""
    wanted = named(visit.query, visit.now_ms)
    empty = {"list": Listed(found=(), missing={}, older=""), "fault": ""}
    found = await _list(visit, wanted, "/console/history") if wanted else empty
    return Page(template="history.html", values=_form(visit, wanted) | {"asked": bool(wanted)} | found)


def _form(visit: Visit, wanted: dict[str, str]) -> dict[str, Any]:
    typed = {name: visit.query.get(name, "") for name in (*NAMES, *TIMES)}
    return {"typed": typed, "wanted": wanted.copy(), "states": tuple(RecipientState), "paged": "before" in visit.query}


async def _list(visit: Visit, wanted: dict[str, str], path: str) -> dict[str, Any]:
    """Give one page; what is wrong with the question stands above an empty one."""
    try:
        return {"list": await listed(visit, wanted, path), "fault": ""}
    except RelayError as error:
        return {"list": Listed(found=(), missing={}, older=""), "fault": str(error)}
