"""The MX of tenants: whose mail it is, by which right it comes, and whom it may go to (facts m365 §1.1 B and C).

The tenant is found by the certificate's domain, then the envelope sender's, then the recipient's (operations §6 F3).
What matches no connector is direct send or ordinary mail from the Internet: it goes on to mailboxes inside, and only
what is for somebody outside shows that the connector does not match.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.counting import ExternalMeter
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.inhabitants import InboundConnector, TenantSpec
from node.rehearsal.simulator.services.mailboxes import message_refusal
from node.rehearsal.simulator.services.service import Service

if TYPE_CHECKING:
    from node.rehearsal.simulator.delivery import Delivery
    from node.rehearsal.simulator.headers import Headers
    from node.rehearsal.simulator.receipts import Receipt
    from node.rehearsal.simulator.session import Session

CONNECTOR, DIRECT, INTERNET = "connector", "direct-send", "internet"


@dataclass(frozen=True, slots=True)
class Attributed:
    """Whose mail a transaction is, as far as certificate, address and envelope sender tell."""

    tenant: str = ""
    connector: InboundConnector | None = None
    sender_owner: str = ""
    """Tenant that has the envelope sender's domain."""

    @property
    def by_certificate(self) -> bool:
        """Matched by certificate: any sender, any recipient."""
        return self.connector is not None and self.connector.certificate is not None


class MxService(Service):
    """What listens on port 25 of ``<domain>.mail.protection.outlook.com``."""

    name: ClassVar[str] = "mx"
    banner: ClassVar[str] = "{host}.mail.protection.outlook.com"

    def connected(self, session: "Session") -> None:
        """See Service."""
        self.hub.source(session.source).open += 1

    def gone(self, session: "Session") -> None:
        """See Service."""
        self.hub.source(session.source).open -= 1

    # -- who it is

    def attribute(self, session: "Session", sender: str) -> Attributed:
        """Find tenant and connector before any recipient is known."""
        directory, names = self.hub.directory, session.certificate_names
        owner = self._owner(sender)
        known = next((tenant for name in names if (tenant := directory.owner_of(name.removeprefix("*.")))), "")
        for tenant, by_name in ((known, True), (owner, False)):
            for one in directory.tenants[tenant].connectors if tenant else ():
                if one.enabled and (one.knows_names(names) if by_name else _knows_source(one, session.source)):
                    return Attributed(tenant, one, owner)
        return Attributed(known or owner, None, owner)

    def _owner(self, address: str) -> str:
        domain = address.rpartition("@")[2]
        return next((name for name, one in self.hub.directory.tenants.items() if domain and one.owns(domain)), "")

    # -- the envelope

    async def admit(self, session: "Session") -> str | None:
        """See Service: tarpit and throttling of the address."""
        mx, source, now_s = self.hub.directory.mx, self.hub.source(session.source), self.hub.now_s()
        if mx.spares_connectors and self._spared(session):
            return None
        if source.slow(now_s):
            source.counts["tarpitted"] += 1
            await session.wire.rest(self.hub.directory.timing.real_s(mx.tarpit))
        over = bool(mx.source_connections) and source.open > mx.source_connections
        if not over and not source.busy(now_s):
            return None
        source.counts["refused"] += 1
        return session.filled(texts.SERVER_BUSY, source=session.source)

    def _spared(self, session: "Session") -> bool:
        """Any connector knows this client."""
        return any(
            one.enabled and (one.knows_names(session.certificate_names) or _knows_source(one, session.source))
            for tenant in self.hub.directory.tenants.values()
            for one in tenant.connectors
        )

    def sender(self, session: "Session", sender: str) -> str | None:
        """See Service."""
        found = self.attribute(session, sender)
        if found.connector is None and found.sender_owner and self._rejects(found.sender_owner) == "mail":
            return self._refused("direct_send", texts.DIRECT_SEND_REFUSED)
        return None

    def open(self, session: "Session", sender: str, *, smtputf8: bool) -> Transaction:
        """See Service."""
        found = self.attribute(session, sender)
        meter = ExternalMeter(self.hub.tenant_meter(found.tenant))
        self.hub.source(session.source).message(self.hub.now_s())
        return Transaction(
            sender=sender,
            smtputf8=smtputf8,
            meter=meter,
            submission=meter.begin(self.hub.now_s()),
            tenant=found.tenant,
            attribution=CONNECTOR if found.connector is not None else "",
        )

    async def recipient(self, session: "Session", transaction: Transaction, recipient: str) -> str | None:
        """See Service."""
        found, mx = self.attribute(session, transaction.sender), self.hub.directory.mx
        owner, domain = self._owner(recipient), recipient.rpartition("@")[2].lower()
        if self.hub.source(session.source).slow(self.hub.now_s()) and not self._spared(session):
            await session.wire.rest(self.hub.directory.timing.real_s(mx.tarpit))
        same = sum(one.rpartition("@")[2].lower() == domain for one in transaction.recipients)
        if same >= mx.recipients_per_domain:
            self.hub.violations["recipients_per_message"] += 1
            return texts.TOO_MANY_RECIPIENTS
        refusal = self._relay(found, owner)
        if refusal is None and owner:
            refusal = self._inside(found, self.hub.directory.tenants[owner], recipient)
        if refusal is None and not transaction.attribution:
            transaction.tenant = transaction.tenant or owner
            transaction.attribution = DIRECT if found.sender_owner == owner else INTERNET
        return refusal

    def _relay(self, found: Attributed, owner: str) -> str | None:
        """Say whether mail may go to a recipient of this tenant, or of none."""
        if found.by_certificate:
            return None
        if found.connector is not None and found.sender_owner:
            return None
        if owner:
            return None
        if found.sender_owner or found.connector is not None or found.tenant:
            return self._refused("relay", texts.RELAY_DENIED)
        return self._refused("not_ours", texts.NOT_OURS)

    def _inside(self, found: Attributed, tenant: TenantSpec, recipient: str) -> str | None:
        if not tenant.exists(recipient):
            return self._refused("nobody", texts.NOBODY)
        trusted = found.connector is not None and found.connector.internal
        if not trusted and tenant.wants_inside_only(recipient):
            return self._refused("inside_only", texts.INSIDE_ONLY)
        return None

    def _rejects(self, tenant: str) -> str:
        return self.hub.directory.tenants[tenant].reject_direct_send

    def _refused(self, what: str, text: str) -> str:
        self.hub.attributions[f"refused {what}"] += 1
        return text

    # -- the end

    def refusal(self, session: "Session", delivery: "Delivery", headers: "Headers") -> str | None:
        """See Service."""
        transaction = delivery.transaction
        found = self.attribute(session, transaction.sender)
        if found.connector is None and found.sender_owner and self._rejects(found.sender_owner) == "data":
            return session.filled(self._refused("direct_send", texts.DIRECT_SEND_REFUSED))
        text = message_refusal(delivery.content, headers)
        if text is not None:
            return session.filled(text)
        external = self.external(session, transaction)
        over = self.hub.over_external(transaction.tenant, transaction.sender, external)
        return session.filled(over) if over is not None else None

    def external(self, session: "Session", transaction: Transaction) -> int:  # noqa: ARG002
        """See Service."""
        spec = self.hub.directory.tenants.get(transaction.tenant)
        if spec is None or transaction.attribution != CONNECTOR:
            return 0
        return sum(not spec.owns(one.rpartition("@")[2]) for one in transaction.recipients)

    def confirm(self, session: "Session", receipt: "Receipt") -> None:
        """See Service: in the MX's own words."""
        self.hub.attributions[receipt.attribution] += 1
        message_id = receipt.message_id.strip("<>") or "none"
        session.say(texts.QUEUED, message_id=message_id, number=str(receipt.number), octets=str(receipt.size_bytes))


def _knows_source(connector: InboundConnector, source: str) -> bool:
    try:
        ip_address(source)
    except ValueError:
        return False
    return connector.knows_source(source)
