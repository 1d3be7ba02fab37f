"""Reports that fit nothing yet and may: kept until what they are about is settled, or a node that has it answers.

A report can be faster than what it reports on: an answer that was lost is looked for during minutes, and a node may be
away while Microsoft's report on its mail comes to another. Asked again after as long as it has waited, between 5 s and
four hours, for as long as a report is believed.
"""

from typing import Final, NamedTuple

import msgspec

from node.spool.database import Database
from node.truth import statements
from node.truth.aside import shelved
from node.truth.contract import WINDOW_MS, Claim, Judged, Outcome
from node.truth.store import Store

WAITING_MAX: Final = 1_000
CLAIM_BYTES: Final = 64 << 10
"""A claim as it is kept; a larger one is not, and people find it on the shelf. Some 100 recipients fit."""
HEADER_BYTES: Final = 8 << 10
FIRST_MS: Final = 5_000
LONGEST_MS: Final = 4 * 3_600_000
AT_ONCE: Final = 20


class Waits(NamedTuple):
    """One report that waits."""

    number: int
    claim: Claim


class Waiting:
    """The rows."""

    def __init__(self, store: Store) -> None:
        """Keep them in the room's store."""
        self._store = store

    async def keep(self, data: bytes, claim: Claim, judged: Judged) -> None:
        """Durable, with its beginning on the shelf; raises what the store raises: then it must come again."""
        notice = msgspec.structs.replace(claim.notice, header=claim.notice.header[:HEADER_BYTES])
        kept = msgspec.json.encode(msgspec.structs.replace(claim, notice=notice))
        fits = len(kept) <= CLAIM_BYTES
        told = judged if fits else msgspec.structs.replace(judged, outcome=Outcome.UNMATCHED)

        def work(database: Database) -> None:
            number = shelved(database, data, told, claim.came, claim.at_ms)
            if fits:
                statements.run(database, "add_waiting", (number, claim.at_ms, claim.at_ms + FIRST_MS, kept))
                statements.run(database, "trim_waiting", (WAITING_MAX,))

        await self._store.do(work)

    async def due(self, now_ms: int) -> list[Waits]:
        """Give some of those to ask of now, the longest due first."""
        rows = await self._store.do(lambda database: statements.run(database, "waiting_due", (now_ms, AT_ONCE)))
        return [
            Waits(int(number or 0), msgspec.json.decode(claim, type=Claim))
            for number, _, claim in rows
            if isinstance(claim, bytes)
        ]

    async def put_off(self, waits: Waits, now_ms: int) -> None:
        """Ask again later."""
        age_ms = min(max(now_ms - waits.claim.at_ms, FIRST_MS), LONGEST_MS)
        await self._store.do(lambda database: statements.run(database, "put_off", (now_ms + age_ms, waits.number)))

    async def over(self, waits: Waits, judged: Judged) -> None:
        """Ask no more: what fitted leaves the shelf, of the rest it says what became of it."""
        fits = judged.outcome in (Outcome.MATCHED, Outcome.REPEATED)

        def work(database: Database) -> None:
            statements.run(database, "drop_waiting", (waits.number,))
            if fits:
                statements.run(database, "drop_aside", (waits.number,))
            else:
                statements.run(database, "judge_aside", (judged.outcome.value, judged.why, waits.number))

        await self._store.do(work)

    async def count(self) -> int:
        """Tell how many wait."""
        return int(await self._store.do(lambda database: statements.cell(database, "count_waiting")) or 0)

    async def erase(self, address: str) -> int:
        """Drop every one in which an address occurs; how many."""
        wanted = address.lower().encode()

        def work(database: Database) -> int:
            rows = statements.run(database, "waiting_all")
            found = [number for number, claim in rows if isinstance(claim, bytes) and wanted in claim.lower()]
            for number in found:
                statements.run(database, "drop_waiting", (number,))
            return len(found)

        return await self._store.do(work)


def over_at_ms(claim: Claim) -> int:
    """Tell until when a report is asked of again."""
    return claim.at_ms + WINDOW_MS
