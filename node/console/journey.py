"""One message: what happened to it, across nodes, as a waterfall."""

from typing import Any, Final
from urllib.parse import quote

from node.admin.everywhere import Found, Gathered
from node.console.desk import NotThereError
from node.console.visit import Page, Visit
from node.console.waterfall import waterfall
from node.policy.envelope import FINAL_STATES, RecipientState

OPEN: Final = frozenset(RecipientState) - FINAL_STATES


async def journey(visit: Visit) -> Page:
    """Ask every node; the one that knows it best tells it, the others are named. Raises NotThereError."""
    message_id = visit.match["id"]
    gathered: Gathered = await visit.look("/v1/everywhere/messages/{id}", id=message_id)
    if not gathered.messages:
        silent = f"; not asked: {', '.join(gathered.missing)}" if gathered.missing else ""
        raise NotThereError(f"no node that answers has a message of that id{silent}")
    best, *others = gathered.messages
    return Page(template="journey.html", values={**_told(visit, best), "others": others, "missing": gathered.missing})


def _told(visit: Visit, found: Found) -> dict[str, Any]:
    waits = any(one.state in OPEN for one in found.recipients)
    return {
        "found": found,
        "waits": waits,
        "dead": any(one.state is RecipientState.DEAD for one in found.recipients),
        "fall": waterfall(found, visit.now_ms if waits else 0),
        "trace": trace_link(visit.trace_url, found.message.traceparent),
    }


def trace_link(template: str, traceparent: str) -> str:
    """Give where a trace backend shows the message's trace; empty: there is none, or it has no trace."""
    parts = traceparent.split("-")
    if not template or len(parts) < 3:  # noqa: PLR2004 - version, trace, span, flags (W3C trace context)
        return ""
    return template.replace("{trace_id}", quote(parts[1], safe=""))
