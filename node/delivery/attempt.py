"""One attempt from place and permit to the written outcome: connect, claim, say it, judge it, settle it.

Keeps the order that the invariants rest on: claim durable before MAIL (I3), intent durable before the final dot for
classes that must not repeat (I5), the permit settled at the final reply (I2), the outcome durable before anything
is forgotten (I1). It chooses no way and no time.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from node.cluster.contract import Budgets
from node.delivery.addressing import Addressing
from node.delivery.clock import steady_ms, wall_ms, wall_ns
from node.delivery.connection import Session
from node.delivery.conversation import conversation
from node.delivery.errors import NotAgreed, Refused
from node.delivery.job import Job
from node.delivery.letter import Letter
from node.delivery.second import Intention, Second
from node.delivery.settle import Settler
from node.delivery.tracing import Tracer
from node.delivery.transaction import Course, Fence, always
from node.errors import RelayError
from node.policy.bounce_target import BOUNCE_CLIENT
from node.policy.envelope import OnUnknown
from node.policy.marker import KEEPS_COPIES
from node.policy.return_path import ReturnPath
from node.spool.contract import AttemptStart, Spool

TAKING_LOOK_MS: Final = 200
"""When to look again at a message that its client has not been answered for yet."""
HURRIED_S: Final = 4.0
"""How long urgent mail waits for a connection and login while another way is ready; Microsoft needs about one."""
AGREEING_LOOK_MS: Final = 2_000
"""When to look again at one whose attempt the other machine must know of, and cannot now."""


class Runner:
    """Runs jobs, each in its own task."""

    def __init__(
        self,
        spool: Spool,
        budgets: Budgets,
        settler: Settler,
        tracer: Tracer,
        second: Second,
        may_send: Fence = always,
        addressing: Addressing | None = None,
    ) -> None:
        """Keep what attempts need; ``addressing`` is asked on ways without an envelope."""
        self._spool, self._second = spool, second
        self._budgets = budgets
        self._settler = settler
        self._tracer = tracer
        self._may_send = may_send
        self._addressing = addressing
        self.return_path: ReturnPath | None = None
        """Where reports on failed deliveries come back to; None: to the sender as he named himself."""
        self._settling: set[asyncio.Future[None]] = set()

    async def run(self, job: Job) -> None:
        """Carry the job to its end. Place and grant are given back whatever happens; raises nothing of ours."""
        if not self._may_begin(job):
            return
        if not job.place.pool.ahead:
            connection = await self._connected(job)
            if connection is None or not await self._addressed(job):
                return
            if (body := await self._claimed(job)) is not None:
                await self._transfer(job, connection, body)
            return
        body = await self._claimed(job)
        if body is not None:
            connection = await self._connected(job, claimed=True)
            if connection is not None:
                await self._transfer(job, connection, body)

    def _may_begin(self, job: Job) -> bool:
        """Whether the other machine's side is ready for this attempt; if not, everything is given back."""
        careful = job.message.on_unknown is not OnUnknown.RESEND
        if self._second.taking(job.message.id):
            wait_ms = TAKING_LOOK_MS
        elif careful and not self._second.may_intend(job.due.pairing):
            wait_ms = AGREEING_LOOK_MS
        else:
            return True
        self._put_off(job, wait_ms)
        return False

    async def _addressed(self, job: Job) -> bool:
        """Whether the job can go without an envelope, where the way has none; if not, everything is given back."""
        if self._addressing is None or not job.place.pool.endpoint.graph:
            return True
        try:
            wait_ms = await self._addressing.prepare(job)
        except BaseException:
            self._give_up(job)
            raise
        if wait_ms is None:
            return True
        self._put_off(job, wait_ms)
        return False

    async def _connected(self, job: Job, *, claimed: bool = False) -> Session | None:
        pool = job.place.pool
        try:
            return await pool.connect(job.place, HURRIED_S if job.hurried else None)
        except Refused as refused:
            self._budgets.cancelled(job.grant, steady_ms())
            pool.release(job.place)
            await self._settler.not_connected(job, refused, claimed=claimed)
            return None
        except BaseException:
            self._give_up(job)
            if claimed:
                await self._settle(job, Course(), (0, 0))
            raise

    async def _claimed(self, job: Job) -> bytes | Path | None:
        """Claim durably and read the body; None when there is nothing to send, everything given back."""
        claiming = asyncio.ensure_future(self._spool.claim(self._start(job)))
        try:
            mine = await asyncio.shield(claiming)
        except RelayError:
            self._give_up(job)
            self._settler.spool_failed(job)
            return None
        except BaseException:
            self._give_up(job)
            self._later(self._unclaimed(job, claiming))
            raise
        if not mine:
            # An operator, an expiry or another attempt was faster; nothing was said to anybody.
            self._give_up(job)
            return None
        if job.due.body is not None:
            return job.due.body
        try:
            return await self._spool.body(job.message.id)
        except RelayError as error:
            self._give_up(job)
            await self._settler.unreadable(job, error)
            return None
        except BaseException:
            self._give_up(job)
            await self._settle(job, Course(), (0, 0))
            raise

    async def _transfer(self, job: Job, connection: Session, body: bytes | Path) -> None:
        message = job.message
        careful = message.on_unknown is not OnUnknown.RESEND
        letter = Letter(
            message=message,
            recipients=job.recipients,
            body=body,
            mail_from=self._sender(job),
            head=job.head,
            # What may have to be looked for later carries what it is found by, where there is a place to look.
            marked=message.on_unknown is OnUnknown.VERIFY and job.way.path in KEEPS_COPIES,
        )

        async def intend() -> None:
            dot_ms = wall_ms()
            await self._spool.intend(job.attempt_id, dot_ms)
            about = Intention(job.due.pairing, message.id, job.attempt_id, job.indexes, dot_ms)
            if not await self._second.intend(about):
                raise NotAgreed(f"attempt {job.attempt_id} of {message.id} is not known to the other machine")

        transaction = conversation(connection, letter, intend if careful else None, self._may_send)
        job.course = transaction.course
        start_ns = wall_ns()
        refused: Refused | None = None
        try:
            await transaction.run()
        except Refused as error:
            refused = error
        except (RelayError, OSError):
            # The intent or the body failed before the dot: the conversation was cut, nothing can arrive.
            self._settler.spool_failed(job)
        finally:
            # Also when cancelled: the course says how far it came, and that must be written down.
            self._return_permit(job, transaction.course)
            job.place.pool.release(job.place)
            if refused is not None:
                await asyncio.shield(self._later(self._settler.not_connected(job, refused, claimed=True)))
            else:
                await self._settle(job, transaction.course, (start_ns, wall_ns()))

    async def _unclaimed(self, job: Job, claiming: "asyncio.Future[bool]") -> None:
        """Undo a claim that nobody waited for: it may be durable all the same."""
        with suppress(RelayError):
            if await claiming:
                await self._settler.settled(job, Course(), (0, 0))

    def _later(self, work: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        """Do something whatever becomes of this task; ``settled`` waits for it."""
        settling = asyncio.ensure_future(work)
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)
        return settling

    async def _settle(self, job: Job, course: Course, transfer_ns: tuple[int, int]) -> None:
        """Write the outcome, also when this task is cancelled meanwhile."""
        await asyncio.shield(self._later(self._settler.settled(job, course, transfer_ns)))

    async def settled(self) -> None:
        """Wait until every outcome is written, those of cancelled attempts too."""
        await asyncio.gather(*self._settling, return_exceptions=True)

    def _return_permit(self, job: Job, course: Course) -> None:
        now_ms = steady_ms()
        if not course.mail_said or course.undone:
            self._budgets.cancelled(job.grant, now_ms)
            return
        used = len(job.recipients) if course.dot_said else len(course.accepted)
        self._budgets.settled(job.grant, now_ms, recipients_used=used, vanished=course.broken)

    def _give_up(self, job: Job) -> None:
        """Nothing was said past login: everything goes back at once."""
        self._budgets.cancelled(job.grant, steady_ms())
        job.place.pool.release(job.place)
        self._settler.abandoned(job)

    def _put_off(self, job: Job, wait_ms: int) -> None:
        """Give everything back; the mail is looked at again after so long."""
        self._give_up(job)
        if self._settler.lanes is not None:
            self._settler.lanes.due_at(job.due.lane, wall_ms() + wait_ms, job.message.id)

    def _sender(self, job: Job) -> str:
        """Our own reports have the null sender where the next server takes it (RFC 5321 §4.5.5, operations A11)."""
        message = job.message
        if message.client == BOUNCE_CLIENT:
            return "" if job.way.null_sender else message.mail_from
        if self.return_path is None:
            return message.mail_from
        return self.return_path.sender(message.id, message.mail_from, message.tenant, job.way.path)

    def _start(self, job: Job) -> AttemptStart:
        return AttemptStart(
            attempt_id=job.attempt_id,
            message_id=job.message.id,
            indexes=job.indexes,
            path=job.way.path,
            account=job.way.account,
            tenant=job.way.tenant,
            grant_id=job.grant.id,
            external=job.grant.need.external,
            started_ms=wall_ms(),
            traceparent=self._tracer.render(job.context),
        )
