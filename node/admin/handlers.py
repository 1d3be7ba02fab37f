"""What each route of the administration interface does: reads the request, asks the node, words the answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from node.admin.access import Role, permit
from node.admin.asking import MAIL, Answer, Ask, Deed, missing
from node.admin.cluster import WishKind, order_of
from node.admin.control import Control
from node.admin.erasing import address_of
from node.admin.everywhere import ROUNDS_MAX, Done, Order, action_of, here_of
from node.admin.history import before_of
from node.admin.once import Once
from node.admin.queries import (
    BadRequestError,
    bounded,
    filter_in,
    filter_of,
    flag_of,
    limit_of,
    names_nothing,
    question_of,
    text_of,
    whole,
)
from node.admin.seconding import (
    WORKS,
    Seconding,
    Tell,
    again,
    of_action,
    of_disaster,
    of_erasing,
    of_wish,
    second,
    shown,
)
from node.audit import Audit


async def _nowhere(_entry: dict[str, object]) -> None:
    """Nothing is audited."""


class Handlers:
    """The handlers of one node; ``routes.py`` says which path each belongs to."""

    def __init__(self, control: Control, audit: Audit | None = None) -> None:
        """Keep the node."""
        self._control, self._audit = control, audit
        self.seconding: Seconding | None = None
        """What waits for a second person; None: nothing ever does."""
        self.once: Once | None = None
        """Makes tokens of one use."""
        self.tell: Tell = _nowhere
        """Write into the audit."""

    async def told(self, actor: str, event: str, facts: Mapping[str, object]) -> None:
        """Write a deed into the audit that is no answer's."""
        await self.tell({"actor": actor, "event": event, "facts": dict(facts)})

    # -- health

    async def live(self, _ask: Ask) -> Answer:
        """The process answers."""
        return Answer(value={"live": True})

    async def ready(self, _ask: Ask) -> Answer:
        """Mail is taken in; 503 with the reasons if not."""
        readiness = self._control.readiness()
        return Answer(value=readiness, status=200 if readiness.ready else 503)

    async def metrics(self, _ask: Ask) -> Answer:
        """Prometheus' text."""
        return Answer(raw=self._control.metrics(), kind="text/plain")

    # -- looking

    async def status(self, ask: Ask) -> Answer:
        """The node in one page."""
        ask.values()
        return Answer(value=await self._control.status())

    async def find(self, ask: Ask) -> Answer:
        """Messages of this node, newest first."""
        return Answer(value=await self._control.find(filter_of(ask.values())))

    async def find_everywhere(self, ask: Ask) -> Answer:
        """Messages of all nodes."""
        values = ask.values()
        return Answer(value=await self._control.everywhere.find(filter_of(values), here=here_of(values)))

    async def trace_everywhere(self, ask: Ask) -> Answer:
        """One message from every node that has it."""
        values = ask.values()
        return Answer(value=await self._control.everywhere.trace(ask.match["id"], here=here_of(values)))

    async def history(self, ask: Ask) -> Answer:
        """A page of all nodes' messages, live and past, newest first; ``before`` is the page before's ``next``."""
        values = ask.values()
        here = here_of(values)
        return Answer(value=await self._control.history.page(filter_of(values), before_of(values), here=here))

    async def route(self, ask: Ask) -> Answer:
        """What would become of a message."""
        return Answer(value=self._control.route(question_of(ask.values())))

    async def show(self, ask: Ask) -> Answer:
        """One message with its journey."""
        view = await self._control.message(ask.match["id"])
        return missing("no message of that id here") if view is None else Answer(value=view)

    async def body(self, ask: Ask) -> Answer:
        """Its body while it waits."""
        message_id = ask.match["id"]
        if await self._control.spool.journey(message_id) is None:
            return missing("no message of that id here")
        deed = Deed(text="message exported", facts={"queue_id": message_id})
        return Answer(stream=self._control.spool.export(message_id), kind=MAIL, deed=deed)

    async def accounts(self, ask: Ask) -> Answer:
        """Ways and scopes."""
        ask.values()
        return Answer(value=self._control.ways())

    async def budget(self, ask: Ask) -> Answer:
        """Limits in use."""
        ask.values()
        return Answer(value=self._control.budgets())

    async def shares(self, ask: Ask) -> Answer:
        """How they are shared out among nodes."""
        ask.values()
        cluster = self._control.cluster
        return Answer(value={} if cluster is None else cluster.shares())

    async def cluster(self, ask: Ask) -> Answer:
        """The cluster as this node sees it."""
        ask.values()
        cluster = self._control.cluster
        return Answer(value=None if cluster is None else await cluster.view())

    async def clients(self, ask: Ask) -> Answer:
        """Clients seen."""
        ask.values()
        return Answer(value=self._control.clients())

    async def reports(self, ask: Ask) -> Answer:
        """Mailboxes read, reports kept aside, addresses listed."""
        return Answer(value=await self._control.truth.view(filter_of(ask.values()).limit))

    async def report(self, ask: Ask) -> Answer:
        """The beginning of a report."""
        number = whole(ask.match["number"], "number")
        found = await self._control.truth.content(number)
        if found is None:
            return missing("no report of that number is kept")
        return Answer(raw=found, kind=MAIL, deed=Deed(text="report exported", facts={"report": number}))

    async def audit(self, ask: Ask) -> Answer:
        """Who did what on this node, newest first; ``below``: number of an entry."""
        values = ask.values()
        limit, below = limit_of(values), whole(values.get("below", "0"), "below")
        if self._audit is None:
            return Answer(value=[])
        return Answer(value=await asyncio.to_thread(self._audit.newest, limit, below))

    # -- what waits for a second person

    async def approvals(self, ask: Ask) -> Answer:
        """What waits on this node for a second person."""
        ask.values()
        waiting = await self.seconding.all() if self.seconding is not None else []
        return Answer(value=[shown(one) for one in waiting])

    async def decide(self, ask: Ask) -> Answer:
        """Approve (``yes``) or refuse (``no``) what somebody else asked for."""
        action, caller = ask.match["action"], ask.caller
        why = text_of(ask.object(), "reason")
        if action not in ("yes", "no"):
            raise BadRequestError(f"action: expected yes or no, not {action[:40]!r}")
        pending = await self.seconding.take(ask.match["id"], caller) if self.seconding is not None else None
        if pending is None or pending.deed not in WORKS:
            return missing("nothing of that id waits here; it may be over")
        facts = {"approval": pending.id, "kind": pending.kind, "asked_by": pending.actor, "why": why}
        if action == "no":
            return Answer(value={"refused": pending.id}, deed=Deed(text="refused what somebody asked for", facts=facts))
        await self.told(caller.name, "approved what somebody asked for", facts)
        answer = await WORKS[pending.deed](self, again(pending, caller))
        done = answer.deed or Deed(text="done with a second person")
        deed = Deed(text=done.text, facts={**done.facts, "approval": pending.id, "asked_by": pending.actor})
        return msgspec.structs.replace(answer, deed=deed)

    # -- acting

    @second(of_action, Role.OPERATOR)
    async def act(self, ask: Ask) -> Answer:
        """Hold, release (retry) or delete what a filter names; everything only with ``all: true``."""
        return await self._acted(ask, self._control.everywhere.act_here)

    @second(of_action, Role.OPERATOR)
    async def act_everywhere(self, ask: Ask) -> Answer:
        """Do the same on all nodes."""
        everywhere, credential = self._control.everywhere, ask.caller.credential
        return await self._acted(ask, lambda order: everywhere.act(order, credential))

    async def _acted(self, ask: Ask, act: Callable[[Order], Awaitable[Done]]) -> Answer:
        action, body = action_of(ask.match["action"]), ask.object()
        which, why = filter_in(body), text_of(body, "reason")
        if names_nothing(which) and not flag_of(body, "all"):
            raise BadRequestError("filter: names nothing; say all: true to mean every message")
        rounds = 1 if bounded(body) else ROUNDS_MAX
        done = await act(Order(action=action, which=which, actor=ask.caller.name, reason=why, rounds=rounds))
        facts = {"action": action.value, "changed": done.changed, "why": why, "nodes": done.by_node}
        return Answer(value=done, deed=Deed(text="queue changed", facts=facts | {"missing": sorted(done.missing)}))

    async def account_act(self, ask: Ask) -> Answer:
        """Park or resume one."""
        action, body = ask.match["action"], ask.object()
        acts = {"park": self._control.park, "resume": self._control.resume}
        if action not in acts:
            raise BadRequestError(f"action: expected one of {', '.join(acts)}, not {action[:40]!r}")
        account, why = text_of(body, "account", required=True), text_of(body, "reason")
        if not await acts[action](account, why, ask.caller.name, here=flag_of(body, "here")):
            return missing(f"account: there is no account or scope {account!r}")
        facts = {"action": action, "account": account, "why": why}
        return Answer(value={"changed": 1}, deed=Deed(text="account changed", facts=facts))

    @second(of_wish, Role.ADMIN)
    async def wish(self, ask: Ask) -> Answer:
        """What an operator wishes of the whole cluster."""
        order, cluster = order_of(ask.object()), self._control.cluster
        if cluster is None:
            raise BadRequestError("this node belongs to no cluster")
        if order.kind is WishKind.DEAD:
            permit(ask.caller, Role.ADMIN)
        state = "on" if order.on else "off"
        facts = {"action": order.kind.value, "scope": order.what, "why": order.reason, "state": state}
        return Answer(value=await cluster.wish(order, ask.caller.name), deed=Deed(text="wish made", facts=facts))

    async def finalise(self, ask: Ask) -> Answer:
        """Put the newest level in force."""
        why = text_of(ask.object(), "reason", required=True)
        view = await self._control.finalise(why, ask.caller.name)
        return Answer(value=view, deed=Deed(text=f"level {view.level} is in force", facts={"why": why}))

    @second(of_erasing, Role.ADMIN)
    async def erase(self, ask: Ask) -> Answer:
        """Take an address out of this node's history."""
        address = address_of(text_of(ask.object(), "address", required=True))
        changed = await self._control.erase(address, ask.caller.name)
        deed = Deed(text="address erased from history", facts={"changed": changed})
        return Answer(value={"changed": changed}, deed=deed)

    @second(of_erasing, Role.ADMIN)
    async def erase_everywhere(self, ask: Ask) -> Answer:
        """Take an address out of all nodes' history; whoever is away is asked again until done."""
        body = ask.object()
        address, why = address_of(text_of(body, "address", required=True)), text_of(body, "reason")
        view = await self._control.erasures.order(address, ask.caller.name, why, ask.caller.credential)
        facts = {"erasure": view.id, "address": view.digest, "why": why, "waiting": sorted(view.waiting)}
        return Answer(value=view, deed=Deed(text="address to be erased on every node", facts=facts))

    async def erasures(self, ask: Ask) -> Answer:
        """Addresses being erased on all nodes, by orders made here."""
        ask.values()
        return Answer(value=await self._control.erasures.all())

    async def unsuppress(self, ask: Ask) -> Answer:
        """Take an address off the list."""
        address = text_of(ask.object(), "address", required=True)
        changed = int(await self._control.truth.unsuppress(address))
        deed = Deed(text="address taken off the suppression list", facts={"changed": changed})
        return Answer(value={"changed": changed}, deed=deed)

    async def sign_in_once(self, ask: Ask) -> Answer:
        """Make a token for one sign-in to the console."""
        ask.object()
        if self.once is None:
            return missing("no console is here")
        made = self.once.make(time.time_ns() // 1_000_000)
        return Answer(value=made, deed=Deed(text="token for one sign-in made", facts={"until_ms": made.until_ms}))

    async def part(self, ask: Ask) -> Answer:
        """See sessions out of an address that moves to another node."""
        await self._control.part(text_of(ask.object(), "address", required=True))
        return Answer(value={"parted": True})

    @second(of_disaster, Role.ADMIN)
    async def release_spool(self, ask: Ask) -> Answer:
        """Use a quarantined spool."""
        why = text_of(ask.object(), "reason", required=True)
        self._control.release_spool()
        return Answer(value={"released": True}, deed=Deed(text="quarantined spool released", facts={"why": why}))
