"""Who may be told that a message failed, and whether anybody must be (RFC 3461 §4.1, RFC 3834 §2, operations §5).

A report to a stranger is backscatter: only the tenant's own domains, the client's owner and the configured fallback
ever get one, and a report about a report goes to nobody.
"""

from collections.abc import Collection, Iterable
from typing import Final, Protocol

import msgspec

from node.policy.addresses import domain_of
from node.policy.dsn_text import Action
from node.policy.envelope import Direction, NewMessage, Notify, Recipient

BOUNCE_CLIENT: Final = "bounce"
"""``client`` of our own reports: undeliverable ones go to ``dead``, never back."""
EXPIRE_S: Final = 2 * 86_400.0
"""How long a report is tried, whatever the plan says: a one-time code expires, its report must not."""

_WANTED: Final = {
    Action.FAILED: Notify.FAILURE,
    Action.DELAYED: Notify.DELAY,
    Action.DELIVERED: Notify.SUCCESS,
    Action.RELAYED: Notify.SUCCESS,
}


class BounceTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a report goes, or why there is none."""

    address: str | None
    why: str


def wanted(notify: int, action: Action) -> bool:
    """Tell whether a recipient's NOTIFY asks for this report.

    Without NOTIFY failures only: RFC 3461 leaves delays to us, and machines choke on delay notices (operations M7).
    """
    if notify == Notify.DEFAULT:
        return action is Action.FAILED
    return bool(notify & _WANTED[action])


class Asking(Protocol):
    """A recipient, of whichever kind, with what the sender asked for about it (RFC 3461 NOTIFY)."""

    @property
    def notify(self) -> int:
        """See ``Recipient.notify``."""
        ...


def bounce_target(
    message: NewMessage,
    recipients: Iterable[Asking],
    tenant_domains: Collection[str],
    owner: str,
    bounces: str,
    fallback: str | None,
    *,
    action: Action = Action.FAILED,
) -> BounceTarget:
    """Choose who is told about ``recipients``; ``bounces`` is the plan's ``sender`` or ``owner``.

    ``tenant_domains`` are the accepted domains in lower case. One report a message: the caller passes all recipients
    that failed together and remembers that it reported.
    """
    silent = _no_report(message, recipients, action)
    if silent:
        return BounceTarget(address=None, why=silent)
    inside = message.mail_from if domain_of(message.mail_from).lower() in tenant_domains else ""
    choices = (
        (inside if bounces == "sender" else "", "the sender, in a domain of the tenant"),
        (owner, "the client's owner"),
        (fallback, "the configured fallback"),
        (inside, "the sender: the client has no owner and no fallback is configured"),
    )
    none = (None, "the sender is in no domain of the tenant, and there is no owner or fallback")
    address, why = next((choice for choice in choices if choice[0]), none)
    return BounceTarget(address=address, why=why)


def report_envelope(
    original: NewMessage,
    *,
    target: str,
    sender: str,
    report_id: str,
    message_id: str,
    size_bytes: int,
    eight_bit: bool,
    smtputf8: bool,
    tenant_domains: Collection[str],
    now_ms: int,
    expire_s: float = EXPIRE_S,
    traceparent: str = "",
) -> NewMessage:
    """Give the envelope of a report as the spool takes it.

    The return path is the report's From, not the null sender: nothing known says that client submission takes one
    (operations A11). The marks in the header and ``no_bounce`` keep it from being answered. ``traceparent`` is of the
    span that tells of it.
    """
    direction = Direction.INTERNAL if domain_of(target).lower() in tenant_domains else Direction.EXTERNAL
    return NewMessage(
        id=report_id,
        client=BOUNCE_CLIENT,
        plan=original.plan,
        mail_from=sender,
        header_from=sender,
        tenant=original.tenant,
        recipients=(Recipient(address=target, direction=direction, notify=Notify.NEVER.value),),
        size_bytes=size_bytes,
        received_ms=now_ms,
        expires_ms=now_ms + round(expire_s * 1000),
        message_id=message_id,
        eight_bit=eight_bit,
        smtputf8=smtputf8,
        no_bounce=True,
        traceparent=traceparent,
    )


def _no_report(message: NewMessage, recipients: Iterable[Asking], action: Action) -> str:
    """Say why nobody may be told, or give an empty string."""
    if message.client == BOUNCE_CLIENT:
        return "the message is a report itself"
    if message.no_bounce or not message.mail_from:
        return "null sender, automatic or list mail gets no report"
    if not any(wanted(recipient.notify, action) for recipient in recipients):
        return "the sender asked for no report (NOTIFY)"
    return ""
