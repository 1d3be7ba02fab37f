"""Mail that failed after its 250, as the administration interface sees it."""

from typing import TYPE_CHECKING

from node.admin.truth import MailboxView, ReportView, SuppressedView, TruthView
from node.delivery.clock import wall_ms

if TYPE_CHECKING:
    from node.app.truth import Truth


class TruthControl:
    """Implements ``node.admin.truth.TruthControl``."""

    def __init__(self, truth: "Truth") -> None:
        """Keep the room; asked only while it runs."""
        self._truth = truth

    async def view(self, limit: int) -> TruthView:
        """See the contract."""
        truth, rules = self._truth, self._truth.rules
        failing = await truth.news.failing(rules, wall_ms(), limit)
        kept = await truth.aside.listed(limit)
        path = truth.desk.path
        return TruthView(
            return_path=dict(path.addresses.by_tenant) if path is not None else {},
            mailboxes=tuple(
                MailboxView(mailbox=one.mailbox, tenant=one.tenant, read_ms=one.read_ms, trouble=one.trouble)
                for one in truth.reading.states()[:limit]
            ),
            kept=tuple(
                ReportView(
                    id=one.id,
                    at_ms=one.at_ms,
                    outcome=one.outcome,
                    why=one.why,
                    came=one.came,
                    size_bytes=one.size_bytes,
                )
                for one in kept
            ),
            suppression=rules.mode.value,
            suppressed=tuple(
                SuppressedView(address=one.address, times=one.times, last_ms=one.last_ms, reason=one.reason)
                for one in failing
            ),
        )

    async def content(self, number: int) -> bytes | None:
        """See the contract."""
        return await self._truth.aside.content(number)

    async def unsuppress(self, address: str) -> bool:
        """See the contract."""
        changed = await self._truth.news.forget(address)
        await self._truth.suppressing.write()
        return changed
