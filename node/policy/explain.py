"""What would become of a message, as a person asks it: the client's rules, the ways in order, and the decision.

Pure: asks the same functions as intake and delivery ask (``check_mail``, ``candidates``, ``choose``), so that the
answer cannot differ from what would happen. Takes nothing, promises nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from node.errors import PermanentError
from node.policy.addresses import AddressError, Grammar, parse_address
from node.policy.admission import Denial, MailFrom, check_mail, check_recipient, no_rule
from node.policy.choose import NoWay, Shortage, Take, Wait, choose
from node.policy.clients import ClientRule
from node.policy.envelope import Direction, NewMessage, Priority, Recipient
from node.policy.health import Availability, HealthBook
from node.policy.kinds import GRAPH_BYTES
from node.policy.patterns import PatternSet
from node.policy.route import Candidate, Directory, candidates
from node.policy.rulebook import IntakeRules

_MAILBOX = Grammar(utf8=True, bare=True)
_ANYBODY = ClientRule(name="", senders=PatternSet(("*",)), size_bytes=1 << 62)

ANEW = "if it can be built anew: one text, attachments, no signature, no fields but X- that Graph would drop"
"""Nobody knows a message thought of; what its content forbids is found out when it is there."""


class QuestionError(PermanentError):
    """The question cannot be asked; the text begins with the part that is wrong."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One message thought of. Without ``client`` and ``ip`` no client's rules are asked."""

    sender: str
    """Envelope sender and From; empty: the null sender."""
    recipient: str
    size_bytes: int = 0
    client: str = ""
    ip: str = ""
    """Address the client connects from: finds the client rule."""
    user: str = ""
    plan: str = ""
    """Instead of the client's."""


class WayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One way, in the order of preference."""

    path: str
    account: str
    state: str
    """``ready``, ``later`` or ``no``."""
    why: str = ""
    until_ms: int = 0
    """When a ``later`` way may be asked again; 0: a person must act."""
    outside: bool = False
    """The mail would leave the tenant's journaling and rules."""


class RouteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of the message."""

    sender: str
    """After rewriting."""
    recipient: str
    """After aliases and redirection."""
    size_bytes: int
    client: str
    matching: tuple[str, ...]
    """How the client was found: one line for each rule, or who may use this sender."""
    plan: str
    tenant: str
    direction: str
    refused: str = ""
    """The front door's reply, if it would refuse."""
    ways: tuple[WayAnswer, ...] = ()
    decision: str = ""
    """``take``, ``wait``, ``no_way`` (stays queued until the configuration changes), ``bounce`` or ``refuse``."""
    why: str = ""


class Planned(Protocol):
    """What is asked of a plan."""

    @property
    def priority(self) -> Priority:
        """Of its mail."""
        ...


def explain(
    question: Question,
    rules: IntakeRules,
    directory: Directory,
    health: HealthBook,
    short: Mapping[str, Shortage],
    now_ms: int,
    *,
    plans: Mapping[str, Planned] | None = None,
) -> RouteAnswer:
    """Answer a question. ``short``: what has no budget now, by account scope and by tenant name.

    ``plans``: those the configuration knows. Raises QuestionError naming what cannot be used.
    """
    plans = plans or {}
    if question.plan and question.plan not in plans:
        raise QuestionError(f"plan: there is no plan {question.plan!r}; plans: {', '.join(sorted(plans)) or 'none'}")
    client, matching = _client(question, rules)
    sender, recipient = _mailbox("sender", question.sender), _mailbox("recipient", question.recipient)
    if client is None:
        denial = no_rule(question.ip, auth_possible=False)
        return _refused(question, "", matching, denial)
    mail = check_mail(rules, client, f"<{sender}> SIZE={question.size_bytes}{_utf8(sender, recipient)}")
    if isinstance(mail, Denial):
        return _refused(question, client.name, matching, mail)
    found = check_recipient(rules, client, mail, f"<{recipient}>", 0)
    if isinstance(found, Denial):
        return _refused(question, client.name, matching, found)
    priority = plans[question.plan].priority if question.plan else client.priority
    message = _message(question, client, mail, found, priority)
    direction = found.direction
    ways = candidates(directory, message, direction)
    available = {item.way.name: _availability(health, item, message, direction, now_ms) for item in ways if item.ok}
    shortages = _shortages(ways, direction, short)
    urgent = message.priority is Priority.URGENT
    decision = choose(ways, available, shortages, now_ms, urgent=urgent)
    word, why = _decided(decision, now_ms)
    return RouteAnswer(
        sender=mail.address,
        recipient=found.address,
        size_bytes=question.size_bytes,
        client=client.name,
        matching=matching,
        plan=message.plan,
        tenant=mail.tenant,
        direction=direction.value,
        ways=tuple(_way(item, available.get(item.way.name), shortages, now_ms, question.size_bytes) for item in ways),
        decision=word,
        why=why,
    )


def _client(question: Question, rules: IntakeRules) -> tuple[ClientRule | None, tuple[str, ...]]:
    """Give the rule meant and how it was found; without any question about clients, a rule that allows everything."""
    if question.client:
        rule = rules.clients.by_name.get(question.client)
        if rule is None:
            known = ", ".join(sorted(rules.clients.by_name)[:20]) or "none"
            raise QuestionError(f"client: there is no client {question.client!r}; clients: {known}")
        return rule, (f"{rule.name}: as asked",)
    if question.ip:
        try:
            rule = rules.clients.match(question.ip, question.user)
            return rule, rules.clients.explain(question.ip, question.user)
        except ValueError:
            raise QuestionError(f"ip: expected an IP address, not {question.ip!r}") from None
    sender = question.sender
    users = [rule.name for rule in rules.clients.rules if sender and rule.senders.matches(sender)]
    return _ANYBODY, (f"clients that may use this sender: {', '.join(users) or 'none'}",)


def _mailbox(name: str, text: str) -> str:
    if text in ("", "<>") and name == "sender":
        return ""
    try:
        return parse_address(text, _MAILBOX)
    except AddressError as error:
        raise QuestionError(f"{name}: expected an address, not {text[:80]!r}: {error}") from None


def _utf8(*addresses: str) -> str:
    return "" if all(address.isascii() for address in addresses) else " SMTPUTF8"


def _refused(question: Question, client: str, matching: tuple[str, ...], denial: Denial) -> RouteAnswer:
    return RouteAnswer(
        sender=question.sender,
        recipient=question.recipient,
        size_bytes=question.size_bytes,
        client=client,
        matching=matching,
        plan=question.plan,
        tenant="",
        direction="",
        refused=str(denial),
        decision="refuse",
        why=denial.reason,
    )


def _message(
    question: Question, client: ClientRule, mail: MailFrom, recipient: Recipient, priority: Priority
) -> NewMessage:
    return NewMessage(
        id="",
        client=client.name,
        plan=question.plan or client.plan,
        mail_from=mail.address,
        header_from=mail.address,
        tenant=mail.tenant,
        recipients=(recipient,),
        size_bytes=question.size_bytes,
        received_ms=0,
        expires_ms=0,
        message_id="",
        priority=priority,
    )


def _availability(
    health: HealthBook, item: Candidate, message: NewMessage, direction: Direction, now_ms: int
) -> Availability:
    return health.available(item.way, message.header_from, now_ms, direction=direction, client=message.client)


def _shortages(ways: Sequence[Candidate], direction: Direction, short: Mapping[str, Shortage]) -> dict[str, Shortage]:
    """Lay a tenant's shortage over its accounts: it binds only mail to the outside."""
    found: dict[str, Shortage] = {}
    for item in ways:
        way = item.way
        tenant = short.get(way.tenant) if direction is Direction.EXTERNAL and way.counts_external else None
        lacking = [shortage for shortage in (short.get(way.account), tenant) if shortage is not None]
        if lacking:
            found[way.account] = max(lacking, key=lambda shortage: shortage.until_ms)
    return found


def _way(
    item: Candidate, health: Availability | None, short: Mapping[str, Shortage], now_ms: int, size_bytes: int
) -> WayAnswer:
    way, shortage = item.way, short.get(item.way.account)
    state, why, until_ms = "ready", "", 0
    if not item.ok:
        state, why = "no", item.why_not
    elif health is not None and not health.ok:
        state, why, until_ms = "later", f"{health.reason} ({health.scope})", health.until_ms or 0
    elif shortage is not None and shortage.until_ms > now_ms:
        state, why, until_ms = "later", shortage.reason, shortage.until_ms
    if state == "ready" and way.path == "graph" and size_bytes > GRAPH_BYTES:
        why = ANEW
    return WayAnswer(
        path=way.path, account=way.account, state=state, why=why, until_ms=until_ms, outside=not way.inside_tenant
    )


def _decided(decision: Take | Wait | NoWay, now_ms: int) -> tuple[str, str]:
    if isinstance(decision, Take):
        return "take", decision.way.name
    if isinstance(decision, Wait):
        return "wait", f"{decision.reason}, {max(0, decision.until_ms - now_ms) / 1000:.0f} s"
    return ("bounce" if decision.bounce else "no_way"), f"{decision.reason}: {decision.why}"
