"""The first page: the node, its cluster, and the mail that flows."""

from typing import Any

from node.console.flow import TOTALS
from node.console.visit import Data, Page, Visit
from node.errors import RelayError


async def overview(visit: Visit) -> Page:
    """The whole page."""
    return Page(template="overview.html", values=await _seen(visit))


async def overview_live(visit: Visit) -> Page:
    """The part of it that is asked for again and again."""
    return Page(template="overview_live.html", values=await _seen(visit))


async def flow_data(visit: Visit) -> Data:
    """Numbers for the chart: rates by time."""
    await _sampled(visit)
    return Data(value=visit.flow.series())


async def _seen(visit: Visit) -> dict[str, Any]:
    await _sampled(visit)
    status = await visit.look("/v1/status")
    try:
        cluster, trouble = await visit.look("/v1/cluster"), ""
    except RelayError as error:  # the store is silent: the rest is still worth seeing
        cluster, trouble = None, str(error)
    flow = {"labels": tuple(TOTALS), "totals": visit.flow.totals, "rates": visit.flow.rates()}
    return {"status": status, "cluster": cluster, "trouble": trouble, "flow": flow}


async def _sampled(visit: Visit) -> None:
    if visit.flow.due(visit.now_ms):
        text: bytes = await visit.look("/metrics")
        visit.flow.take(text.decode("utf-8", "replace"), visit.now_ms)
