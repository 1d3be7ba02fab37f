"""Every route of the administration interface: its handler, who may use it, and whether it is there beyond the host."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from node.admin.access import Role
from node.admin.asking import Answer, Ask
from node.admin.cluster import WISH_KEYS
from node.admin.handlers import Handlers
from node.admin.history import HISTORY_KEYS
from node.admin.queries import FILTER_KEYS, ROUTE_KEYS

Handler = Callable[[Handlers, Ask], Coroutine[Any, Any, Answer]]


class Route(NamedTuple):
    """One route."""

    method: str
    path: str
    handler: Handler
    role: Role = Role.VIEWER
    keys: frozenset[str] = frozenset()
    """What its query (GET) or its body (POST) may name."""
    remote: bool = True
    """False: on the host's own socket only. Bodies are for whoever is on the host (operations A15)."""

    @property
    def about(self) -> str:
        """What it does, in a line."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")


HERE: Final = frozenset({"here"})
QUEUE_KEYS: Final = frozenset({"filter", "all", "reason"})
ACCOUNT_KEYS: Final = frozenset({"account", "reason", "here"})
ERASE_KEYS: Final = frozenset({"address"})
WHY_KEYS: Final = frozenset({"reason"})
LIMIT: Final = frozenset({"limit"})
AUDIT_KEYS: Final = frozenset({"limit", "below"})
HEALTH: Final = (
    Route("GET", "/live", Handlers.live),
    Route("GET", "/ready", Handlers.ready),
    Route("GET", "/metrics", Handlers.metrics),
)
"""Answered without a token, as a load balancer has none; metrics only on the machine itself."""
ROUTES: Final = (
    Route("GET", "/v1/status", Handlers.status),
    Route("GET", "/v1/messages", Handlers.find, keys=FILTER_KEYS),
    Route("GET", "/v1/messages/{id}", Handlers.show),
    Route("GET", "/v1/messages/{id}/body", Handlers.body, Role.ADMIN, remote=False),
    Route("GET", "/v1/everywhere/messages", Handlers.find_everywhere, keys=FILTER_KEYS | HERE),
    Route("GET", "/v1/everywhere/messages/{id}", Handlers.trace_everywhere, keys=HERE),
    Route("GET", "/v1/history", Handlers.history, keys=HISTORY_KEYS),
    Route("POST", "/v1/queue/{action}", Handlers.act, Role.OPERATOR, keys=QUEUE_KEYS),
    Route("POST", "/v1/everywhere/queue/{action}", Handlers.act_everywhere, Role.OPERATOR, keys=QUEUE_KEYS),
    Route("GET", "/v1/accounts", Handlers.accounts),
    Route("POST", "/v1/accounts/{action}", Handlers.account_act, Role.OPERATOR, keys=ACCOUNT_KEYS),
    Route("GET", "/v1/budget", Handlers.budget),
    Route("GET", "/v1/shares", Handlers.shares),
    Route("GET", "/v1/cluster", Handlers.cluster),
    Route("POST", "/v1/wishes", Handlers.wish, Role.OPERATOR, keys=WISH_KEYS),
    Route("POST", "/v1/cluster/finalise", Handlers.finalise, Role.ADMIN, keys=WHY_KEYS),
    Route("GET", "/v1/clients", Handlers.clients),
    Route("GET", "/v1/route", Handlers.route, keys=ROUTE_KEYS),
    Route("POST", "/v1/erase", Handlers.erase, Role.ADMIN, keys=ERASE_KEYS),
    Route("POST", "/v1/everywhere/erase", Handlers.erase_everywhere, Role.ADMIN, keys=ERASE_KEYS | WHY_KEYS),
    Route("GET", "/v1/erasures", Handlers.erasures, Role.ADMIN),
    Route("GET", "/v1/approvals", Handlers.approvals),
    Route("POST", "/v1/approvals/{id}/{action}", Handlers.decide, Role.OPERATOR, keys=WHY_KEYS),
    Route("GET", "/v1/reports", Handlers.reports, keys=LIMIT),
    Route("GET", "/v1/reports/{number}/body", Handlers.report, Role.ADMIN, remote=False),
    Route("POST", "/v1/suppressed/remove", Handlers.unsuppress, Role.OPERATOR, keys=ERASE_KEYS),
    Route("POST", "/v1/sign-in/once", Handlers.sign_in_once, Role.ADMIN, remote=False),
    Route("POST", "/v1/part", Handlers.part, Role.ADMIN, keys=ERASE_KEYS, remote=False),
    Route("GET", "/v1/audit", Handlers.audit, keys=AUDIT_KEYS),
    Route("POST", "/v1/disaster/release-spool", Handlers.release_spool, Role.ADMIN, keys=WHY_KEYS),
)
