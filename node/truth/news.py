"""News for owners until they are told, and the addresses that failed for good: rows of ``truth.db``, bounded."""

from collections.abc import Sequence
from typing import Final

import msgspec

from node.policy.bounce_digest import Bounced
from node.policy.envelope import NewMessage
from node.policy.suppression import ADDRESSES_MAX, Failing, Rules
from node.spool.contract import RecipientResult
from node.spool.database import Database, Row
from node.truth import statements
from node.truth.store import Store

NEWS_MAX: Final = 1_000
"""Kept for one owner; more are counted only."""
KEEP_MS: Final = 7 * 86_400_000
"""News that could not be told for so long is dropped: it stands in the journeys."""
OWNERS_AT_ONCE: Final = 50


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner is to be told."""

    tenant: str
    owner: str
    news: tuple[Bounced, ...]
    more: int
    plan: str
    """Plan of the latest message: what is told of it may leave by the ways it left by itself."""
    upto: int
    """Highest row told, for ``told``."""


class News:
    """The rows."""

    def __init__(self, store: Store) -> None:
        """Keep them in the room's store."""
        self._store = store

    async def add(
        self,
        message: NewMessage,
        recipients: Sequence[str],
        results: Sequence[RecipientResult],
        owner: str,
        now_ms: int,
    ) -> None:
        """Note what an owner is to hear."""
        who = (message.tenant, owner)
        rows: list[Row] = [
            (*who, now_ms, message.id, message.client, message.plan, address, result.reason, result.reply)
            for address, result in zip(recipients, results, strict=True)
        ]

        def work(database: Database) -> None:
            statements.run(database, "know_owner", who)
            room = max(0, NEWS_MAX - int(statements.cell(database, "count_news", who) or 0))
            for row in rows[:room]:
                statements.run(database, "add_news", row)
            if len(rows) > room:
                statements.run(database, "uncounted", (len(rows) - room, *who))

        await self._store.do(work)

    async def due(self, now_ms: int, every_ms: int, gather_ms: int) -> list[Owed]:
        """Give what is to be told now: nobody is told twice within ``every_ms``, nor of what is younger than a while.

        ``gather_ms``: how old the oldest news must be, so that what comes together is told together.
        """

        def work(database: Database) -> list[Owed]:
            statements.run(database, "drop_old_news", (now_ms - KEEP_MS,))
            found = statements.run(database, "due_owners", (now_ms - every_ms, now_ms - gather_ms, OWNERS_AT_ONCE))
            return [_owed(database, str(tenant), str(owner), int(more or 0)) for tenant, owner, _, more in found]

        return await self._store.do(work)

    async def told(self, owed: Owed, now_ms: int) -> None:
        """Forget what an owner has been told."""

        def work(database: Database) -> None:
            statements.run(database, "drop_news", (owed.tenant, owed.owner, owed.upto))
            statements.run(database, "told_owner", (now_ms, owed.tenant, owed.owner))

        await self._store.do(work)

    async def failed(self, hard: Sequence[tuple[str, str]], rules: Rules, now_ms: int) -> None:
        """Count addresses that failed for good, and forget those whose time is over."""

        def work(database: Database) -> None:
            for address, reason in hard:
                statements.run(database, "fail", (address.lower(), now_ms, now_ms, reason))
            statements.run(database, "forget_failing", (now_ms - rules.keep_ms,))
            statements.run(database, "trim_failing", (ADDRESSES_MAX,))

        await self._store.do(work)

    async def failing(self, rules: Rules, now_ms: int, limit: int = ADDRESSES_MAX) -> list[Failing]:
        """Give the addresses on the list, latest failure first."""
        values = (rules.times, now_ms - rules.keep_ms, limit)
        rows = await self._store.do(lambda database: statements.run(database, "failing", values))
        return [
            Failing(
                address=str(address),
                times=int(times or 0),
                first_ms=int(first or 0),
                last_ms=int(last or 0),
                reason=str(reason),
            )
            for address, times, first, last, reason in rows
        ]

    async def forget(self, address: str) -> bool:
        """Take an address off the suppression list; whether it was there."""
        wanted = (address.lower(),)

        def work(database: Database) -> bool:
            statements.run(database, "erase_failing", wanted)
            return bool(statements.cell(database, "changes"))

        return await self._store.do(work)

    async def erase(self, address: str) -> int:
        """Take an address out; rows changed."""
        wanted = address.lower()

        def work(database: Database) -> int:
            changed = 0
            for name in ("erase_news", "erase_owner_news", "erase_owner", "erase_failing"):
                statements.run(database, name, (wanted,))
                changed += int(statements.cell(database, "changes") or 0)
            return changed

        return await self._store.do(work)


def _owed(database: Database, tenant: str, owner: str, more: int) -> Owed:
    rows = statements.run(database, "news_of", (tenant, owner, NEWS_MAX))
    news = tuple(
        Bounced(
            at_ms=int(at_ms or 0),
            message_id=str(message_id),
            client=str(client),
            recipient=str(recipient),
            reason=str(reason),
            reply=str(reply),
        )
        for _, at_ms, message_id, client, _, recipient, reason, reply in rows
    )
    plan, upto = (str(rows[-1][4]), int(rows[-1][0] or 0)) if rows else ("", 0)
    return Owed(tenant=tenant, owner=owner, news=news, more=more, plan=plan, upto=upto)
