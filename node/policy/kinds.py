"""The path kinds: what each offers one message, and why not (facts m365 §1.1). One function for each kind.

Pure. Knows no health and no budget; the order of kinds is the route's business.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from node.policy.envelope import Direction, NewMessage
from node.policy.offers import Account, Candidate, Cause, Host, TenantWays, Way

NULL_SENDER: Final = "the null sender"
OUTSIDE: Final = frozenset({"acs", "smarthost"})
"""Kinds on which mail leaves the tenant's journaling, DLP and DKIM (operations M11)."""
GRAPH_BYTES: Final = 3_000_000
"""Largest message as it is: the request may have some 4 MB, and base64 takes a third of them (operations §6 F11)."""

REBUILT_BYTES: Final = 60_000_000
"""Largest message that is taken apart, which is done in memory."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One message on its way out, as each kind is asked about it."""

    tenant: TenantWays
    message: NewMessage
    direction: Direction
    plan: str
    may_leave: bool
    """Route and client let it take paths outside the tenant (operations M11)."""
    rank: int
    rebuild: bool = False
    """It may be taken apart and rebuilt (operations A14)."""

    @property
    def author(self) -> str:
        """The From address, or the envelope sender where none is known."""
        return (self.message.header_from or self.message.mail_from).lower()

    @property
    def external(self) -> bool:
        """Its recipients are outside the tenant."""
        return self.direction is Direction.EXTERNAL

    def foreign(self) -> str:
        """Name the envelope sender if its domain is none of the tenant's; empty for the null sender and our own."""
        sender = self.message.mail_from
        return sender if sender and not self.tenant.owns(sender.rpartition("@")[2].lower()) else ""


Offers = Callable[[Asked], list[Candidate]]


def submission(asked: Asked) -> list[Candidate]:
    """SMTP AUTH client submission: a way for each service account."""
    if not asked.tenant.accounts:
        return [_missing(asked, "submission", "the tenant has no service account")]
    return [_mailbox(asked, "submission", account) for account in asked.tenant.accounts]


def graph(asked: Asked) -> list[Candidate]:
    """Microsoft Graph, by the same mailboxes and limits; larger mail only unsigned and where it may be built anew."""
    if not asked.tenant.accounts or not asked.tenant.graph:
        return [_missing(asked, "graph", "the tenant has no app, or no service account")]
    return [_by_graph(asked, _mailbox(asked, "graph", account)) for account in asked.tenant.accounts]


def _by_graph(asked: Asked, found: Candidate) -> Candidate:
    message = asked.message
    if not found.ok:
        return found
    if message.smtputf8:
        return refused(found.way, Cause.HEADER, "whether Graph takes internationalised addresses is not known")
    if message.size_bytes > GRAPH_BYTES and (why := _not_anew(asked)):
        return refused(found.way, Cause.REBUILD, f"larger than {GRAPH_BYTES} bytes, and not built anew: {why}")
    return found


def _not_anew(asked: Asked) -> str:
    """Say why a large message may not be taken apart and rebuilt at Graph, as far as that shows from outside."""
    if not asked.rebuild:
        return "its plan does not allow it (rebuild)"
    if asked.message.signed:
        return "it is signed or encrypted"
    return f"larger than {REBUILT_BYTES} bytes" if asked.message.size_bytes > REBUILT_BYTES else ""


def unfit(found: Candidate, cause: Cause, why: str) -> Candidate:
    """Refuse Graph to a message that was found to need an envelope (``named``), or to be no draft (``rebuild``)."""
    if found.way.path != "graph" or not found.ok:
        return found
    lack = "Graph has no envelope" if cause is Cause.HEADER else "too large for Graph, and cannot be built anew"
    return refused(found.way, cause, f"{lack}: {why}")


def hve(asked: Asked) -> list[Candidate]:
    """High Volume Email: internal recipients only, since June 2025; outside the tenant's external limit."""
    if not asked.tenant.hve:
        return [_missing(asked, "hve", "the tenant has no account for High Volume Email")]
    return [_inside(asked, _mailbox(asked, "hve", account, counts=False)) for account in asked.tenant.hve]


def connector(asked: Asked) -> list[Candidate]:
    """The tenant's inbound connector: any recipient; without a certificate only senders of accepted domains."""
    host = asked.tenant.connector
    if host is None:
        return [_missing(asked, "connector", "the tenant has no connector")]
    way = msgspec.structs.replace(_host(asked, "connector", host), null_sender=host.certificate)
    if not host.certificate:
        lacking = asked.foreign() or ("" if asked.message.mail_from else NULL_SENDER)
        if lacking:
            why = f"a connector without a certificate takes no mail from {lacking}"
            return [refused(way, Cause.SENDER, why)]
    return [_sized(way, asked.message)]


def direct_send(asked: Asked) -> list[Candidate]:
    """The MX without a connector: internal recipients, senders of accepted domains."""
    host = asked.tenant.direct_send
    if host is None:
        return [_missing(asked, "direct-send", "direct send is not set up")]
    way = _host(asked, "direct-send", host, counts=False)
    if asked.foreign():
        return [refused(way, Cause.SENDER, f"direct send takes no mail from {asked.foreign()}")]
    return [_inside(asked, _sized(way, asked.message))]


def acs(asked: Asked) -> list[Candidate]:
    """Azure Communication Services: outside the tenant and its external limit; only senders set up there."""
    host = asked.tenant.acs
    if host is None:
        return [_missing(asked, "acs", "the tenant has no Azure Communication Services", inside=False)]
    way = _host(asked, "acs", host, inside=False, counts=False)
    if not asked.may_leave:
        return [_outside(way)]
    for sender in (asked.author, asked.message.mail_from.lower()):
        if not host.senders.matches(sender):
            return [refused(way, Cause.SENDER, f"has no MailFrom address {sender or '<>'}")]
    return [_sized(way, asked.message)]


def smarthost(asked: Asked) -> list[Candidate]:
    """Another server, outside the tenant and its external limit."""
    host = asked.tenant.smarthost
    if host is None:
        return [_missing(asked, "smarthost", "the tenant has no smart host", inside=False)]
    plain = _host(asked, "smarthost", host, inside=False, counts=False)
    way = msgspec.structs.replace(plain, null_sender=True)
    return [_sized(way, asked.message) if asked.may_leave else _outside(way)]


KINDS: Final[dict[str, Offers]] = {
    "connector": connector,
    "submission": submission,
    "hve": hve,
    "graph": graph,
    "acs": acs,
    "direct-send": direct_send,
    "smarthost": smarthost,
}
"""Path kinds this version can speak; others are known to the configuration already."""


def _mailbox(asked: Asked, path: str, account: Account, *, counts: bool = True) -> Candidate:
    way = Way(
        path=path,
        tenant=asked.tenant.name,
        account=account.scope,
        mailbox=account.mailbox,
        size_bytes=account.size_bytes,
        recipients_per_message=account.recipients_per_message,
        counts_external=counts,
        rank=asked.rank,
        own=account.owns(asked.author),
    )
    if not account.may_send_as(asked.author):
        return refused(way, Cause.SENDER, f"may not send as {asked.author}")
    if account.only and asked.plan not in account.only:
        return refused(way, Cause.RESERVED, f"kept for plan {', '.join(sorted(account.only))}")
    return _sized(way, asked.message)


def _host(asked: Asked, path: str, host: Host, *, inside: bool = True, counts: bool = True) -> Way:
    return Way(
        path=path,
        tenant=asked.tenant.name,
        account=host.scope,
        inside_tenant=inside,
        size_bytes=host.size_bytes,
        recipients_per_message=host.recipients_per_message,
        counts_external=counts,
        rank=asked.rank,
    )


def _missing(asked: Asked, path: str, why: str, *, inside: bool = True) -> Candidate:
    way = Way(path=path, tenant=asked.tenant.name, inside_tenant=inside, rank=asked.rank)
    return refused(way, Cause.NOT_SET_UP, why)


def _inside(asked: Asked, found: Candidate) -> Candidate:
    """Refuse recipients outside the tenant, whatever else is the matter."""
    if not asked.external:
        return found
    return refused(found.way, Cause.INTERNAL_ONLY, "takes recipients of the tenant's domains only")


def _outside(way: Way) -> Candidate:
    return refused(way, Cause.OUTSIDE, "neither plan nor client allows a path outside the tenant")


def _sized(way: Way, message: NewMessage) -> Candidate:
    if way.size_bytes and message.size_bytes > way.size_bytes:
        return refused(way, Cause.SIZE, f"message of {message.size_bytes} bytes, at most {way.size_bytes} here")
    return Candidate(way=way, ok=True)


def refused(way: Way, cause: Cause, why_not: str) -> Candidate:
    """Give a way a message may not take."""
    return Candidate(way=way, ok=False, why_not=why_not, cause=cause)
