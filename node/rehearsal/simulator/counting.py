"""Meters of the services beside submission: a resource's two rates, a tenant's external mail, what an address does.

Pure: ``now_s`` is handed in. Like the meters of mailboxes they judge by the worst case and never forgive.
"""

from collections import Counter
from typing import Any, Final

from node.rehearsal.simulator.directory import Limits, Mx
from node.rehearsal.simulator.inhabitants import AcsResource
from node.rehearsal.simulator.meters import AccountMeter, Submission, TenantMeter
from node.rehearsal.simulator.windows import Gate
from node.settings.units import Rate

ENDLESS: Final = 1_000_000_000
NO_LIMITS: Final = Limits(
    rate=Rate(ENDLESS, 60.0), sessions=ENDLESS, recipients=Rate(ENDLESS, 86_400.0), over_rate="accept"
)
"""High Volume Email names none (facts m365 §1.2 D)."""


def unlimited_tenant() -> TenantMeter:
    """Give a tenant's meter for what does not count as external."""
    return TenantMeter(None, 86_400.0)


class ExternalMeter:
    """Mail by the MX: nothing counts but external recipients, against the tenant."""

    def __init__(self, tenant: TenantMeter) -> None:
        """Count for a tenant."""
        self._tenant = tenant

    def begin(self, now_s: float) -> int:
        """MAIL was taken."""
        return self._tenant.meter.begin(now_s)

    def cancel(self, submission: int) -> None:
        """See Meter."""
        self._tenant.meter.cancel(submission)

    def end(self, submission: int, now_s: float, recipients: int, external: int) -> None:  # noqa: ARG002
        """See Meter."""
        self._tenant.meter.end(submission, now_s, external)
        if external:
            self._tenant.gate.take(external)
            self._tenant.gate.settle(now_s, external)


class ResourceMeter:
    """One resource of ACS: so many messages a minute and so many an hour."""

    def __init__(self, resource: AcsResource) -> None:
        """Count against the resource's rates."""
        self._meters = tuple(
            AccountMeter(NO_LIMITS.model_copy(update={"rate": rate}), unlimited_tenant())
            for rate in (resource.rate, resource.hourly)
        )
        self.refused = 0

    def begin(self, now_s: float) -> tuple[Submission, ...]:
        """MAIL was taken."""
        return tuple(meter.begin(now_s) for meter in self._meters)

    def cancel(self, submission: tuple[Submission, ...]) -> None:
        """See Meter."""
        for meter, one in zip(self._meters, submission, strict=True):
            meter.cancel(one)

    def end(self, submission: tuple[Submission, ...], now_s: float, recipients: int, external: int) -> None:
        """See Meter."""
        for meter, one in zip(self._meters, submission, strict=True):
            meter.end(one, now_s, recipients, external)

    @staticmethod
    def fits(submission: tuple[Submission, ...]) -> bool:
        """Tell whether both rates had room when MAIL came."""
        return all(one.gated for one in submission)

    def report(self, now_s: float) -> dict[str, Any]:
        """Give the figures for the statistics."""
        minute, hour = (meter.report(now_s) for meter in self._meters)
        over = Counter(rate=minute["violations"]["rate"], hourly=hour["violations"]["rate"])
        return {
            "worst_window": minute["worst_window"],
            "worst_hour": hour["worst_window"],
            "refused": self.refused,
            "violations": dict(over),
        }


class SourceMeter:
    """One client address at the MX."""

    def __init__(self, mx: Mx, *, connected: int = 0) -> None:
        """Count against what the directory says of addresses; so many connections are open already."""
        self.open = connected
        self.counts: Counter[str] = Counter()
        self._busy = _gate(mx.source_rate)
        self._slow = _gate(mx.tarpit_rate)

    def message(self, now_s: float) -> None:
        """One more message came from here."""
        self.counts["messages"] += 1
        for gate in (self._busy, self._slow):
            gate.take()
            gate.settle(now_s)

    def busy(self, now_s: float) -> bool:
        """Tell whether one more is too many."""
        return not self._busy.fits(now_s)

    def slow(self, now_s: float) -> bool:
        """Tell whether one more is answered late."""
        return not self._slow.fits(now_s)


def _gate(rate: Rate | None) -> Gate:
    return Gate(rate.window_s if rate else 1.0, rate.amount if rate else None)
