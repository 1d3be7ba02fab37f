"""What an operator does from a page: the form becomes a request of the interface, its answer a notice."""

import math
from typing import Final

from node.admin.cluster import WishView
from node.admin.everywhere import Done
from node.admin.queries import FILTER_KEYS, BadRequestError
from node.console.listing import named
from node.console.visit import Go, Visit
from node.settings.units import parse_duration

DID: Final = {"hold": "held", "release": "released", "delete": "deleted", "park": "parked", "resume": "resumed"}


async def act_on_queue(visit: Visit) -> Go:
    """Hold, release (retry) or delete the messages ticked, or all that the page's filter means."""
    action = visit.match["action"]
    reason = visit.field("reason", required=action == "delete")
    body = {"filter": _which(visit), "reason": reason}
    done: Done = await visit.act("/v1/everywhere/queue/{action}", body, action=action)
    word = DID.get(action, action)
    where = ", ".join(f"{number} at {node}" for node, number in done.by_node.items())
    visit.session.tell("good" if done.changed else "bad", f"{done.changed} recipients {word}{where and f' ({where})'}")
    if done.more:
        visit.session.tell("bad", "there may be more: do it again")
    for node, why in done.missing.items():
        visit.session.tell("bad", f"{node} was not reached: {why}; do it again when it is back")
    return Go(to=visit.back)


def _which(visit: Visit) -> dict[str, object]:
    if visit.field("which") == "all":
        wanted = named({name: visit.field(name) for name in FILTER_KEYS - {"ids", "limit"}}, visit.now_ms)
        if not set(wanted) - {"states"}:
            raise BadRequestError("all that fits: narrow the list first, by more than a state")
        return dict(wanted)
    ids = visit.form.get("ids", ())
    if not ids:
        raise BadRequestError("nothing is ticked")
    return {"ids": list(ids)}


async def act_on_account(visit: Visit) -> Go:
    """Park or resume an account, a path, a tenant or a client."""
    action, account = visit.match["action"], visit.field("account", required=True)
    reason = visit.field("reason", required=action == "park")
    await visit.act("/v1/accounts/{action}", {"account": account, "reason": reason}, action=action)
    visit.session.tell("good", f"{account}: {DID.get(action, action)}")
    return Go(to=visit.back)


async def wish(visit: Visit) -> Go:
    """Wish something of the whole cluster, or end a wish."""
    on = visit.field("on") != "false"
    body: dict[str, object] = {
        "kind": visit.field("kind", required=True),
        "what": visit.field("what"),
        "on": on,
        "reason": visit.field("reason", required=True),
        "for_s": _seconds(visit.field("for")) if on else 0,
    }
    made: WishView = await visit.act("/v1/wishes", body)
    about = " ".join(part for part in (made.kind, made.what) if part)
    visit.session.tell("good", f"{about}: {'wished' if made.on else 'ended'}")
    return Go(to=visit.back)


def _seconds(text: str) -> int:
    try:
        return math.ceil(parse_duration(text)) if text else 0
    except ValueError as error:
        raise BadRequestError(f"for: {error}") from None
