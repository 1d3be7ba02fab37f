"""Every page and action of the console."""

from typing import Final, NamedTuple

from node.console.acting import act_on_account, act_on_queue, wish
from node.console.board import accounts, budget, budget_live, clients
from node.console.events import events
from node.console.journey import journey
from node.console.overview import flow_data, overview, overview_live
from node.console.queue import history, queue
from node.console.visit import Done, Shown


class Place(NamedTuple):
    """One page."""

    name: str
    path: str
    show: Shown


PAGES: Final = (
    Place("overview", "/", overview),
    Place("overview", "/live", overview_live),
    Place("overview", "/flow.json", flow_data),
    Place("budget", "/budget", budget),
    Place("budget", "/budget/live", budget_live),
    Place("queue", "/queue", queue),
    Place("message", "/message/{id}", journey),
    Place("accounts", "/accounts", accounts),
    Place("clients", "/clients", clients),
    Place("history", "/history", history),
    Place("events", "/events", events),
)
ACTIONS: Final[dict[str, Done]] = {
    "/queue/{action}": act_on_queue,
    "/accounts/{action}": act_on_account,
    "/wishes": wish,
}
