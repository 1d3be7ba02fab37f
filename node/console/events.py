"""What is wished, what is wrong, and who did what."""

from typing import Any, Final

from node.admin.queries import whole
from node.console.visit import Page, Visit
from node.errors import RelayError

PAGE: Final = 50


async def events(visit: Visit) -> Page:
    """Wishes in force, reports kept aside, and the audit of this node, a page at a time by its numbers."""
    try:
        cluster, trouble = await visit.look("/v1/cluster"), ""
    except RelayError as error:
        cluster, trouble = None, str(error)
    values = {"cluster": cluster, "trouble": trouble, "truth": await visit.look("/v1/reports", {"limit": str(PAGE)})}
    return Page(template="events.html", values=values | await _audit(visit))


async def _audit(visit: Visit) -> dict[str, Any]:
    before = visit.query.get("before", "")
    query = {"limit": str(PAGE)} | ({"below": str(whole(before, "before"))} if before else {})
    entries = await visit.look("/v1/audit", query)
    older = entries[-1]["n"] if len(entries) == PAGE and entries[-1]["n"] > 1 else 0
    return {"entries": entries, "older": older, "paged": bool(before)}
