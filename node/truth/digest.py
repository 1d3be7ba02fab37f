"""Sends owners their digests: at most one each ``every_s``, kept like any report of our own."""

from collections.abc import Callable

import uuid_utils

from node.policy.addresses import domain_of
from node.policy.bounce_digest import build_digest
from node.policy.bounce_target import BOUNCE_CLIENT, EXPIRE_S
from node.policy.dsn import Report
from node.policy.envelope import Direction, NewMessage, Notify, Recipient
from node.spool.contract import Accepted
from node.telemetry.contract import Telemetry
from node.truth.contract import Append
from node.truth.news import News, Owed
from node.truth.telling import Teller, Telling

GATHER_MS = 60_000


class Digests:
    """Sends what is due."""

    def __init__(
        self, news: News, teller: Teller, append: Append, telemetry: Telemetry, woken: Callable[[NewMessage], None]
    ) -> None:
        """Take senders and names from the teller, which a reload keeps current."""
        self._news, self._teller, self._append = news, teller, append
        self._telemetry, self._woken = telemetry, woken
        self.every_s = 3600.0

    async def send(self, now_ms: int) -> int:
        """Write every digest that is due; how many. Raises what the stores raise: then the rest comes next time."""
        every_ms = int(self.every_s * 1000)
        owing = await self._news.due(now_ms, every_ms, min(GATHER_MS, every_ms))
        sent = 0
        for owed in owing:
            item = self._written(owed, now_ms)
            if item is not None:
                # Kept before it is forgotten: a crash between tells an owner twice, never not at all.
                await self._append(item)
                sent += 1
                self._telemetry.count("relay_digests_written")
                self._woken(item.message)
            await self._news.told(owed, now_ms)
        return sent

    def _written(self, owed: Owed, now_ms: int) -> Accepted | None:
        telling = self._teller.telling
        sender = telling.senders.get(owed.tenant, "")
        if not sender:
            return None
        report_id = str(uuid_utils.uuid7())
        report = build_digest(
            owed.news,
            more=owed.more,
            sender=sender,
            target=owed.owner,
            hostname=telling.hostname,
            report_id=report_id,
            now_ms=now_ms,
        )
        return Accepted(message=_envelope(owed, report, sender, telling, report_id, now_ms), body=report.data)


def _envelope(owed: Owed, report: Report, sender: str, telling: Telling, report_id: str, now_ms: int) -> NewMessage:
    inside = domain_of(owed.owner).lower() in telling.domains.get(owed.tenant, frozenset())
    direction = Direction.INTERNAL if inside else Direction.EXTERNAL
    return NewMessage(
        id=report_id,
        client=BOUNCE_CLIENT,
        plan=owed.plan,
        mail_from=sender,
        header_from=sender,
        tenant=owed.tenant,
        recipients=(Recipient(address=owed.owner, direction=direction, notify=Notify.NEVER.value),),
        size_bytes=len(report.data),
        received_ms=now_ms,
        expires_ms=now_ms + round(EXPIRE_S * 1000),
        message_id=report.message_id,
        eight_bit=report.eight_bit,
        smtputf8=report.smtputf8,
        no_bounce=True,
    )
