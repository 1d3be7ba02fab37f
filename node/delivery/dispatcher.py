"""Starts attempts: woken by news, never by a clock alone; one pass starts all that can start now (design §5.3).

Puts together the line (``Fair``), the windows (``Lanes``), the ways (``Ways``) and the runner. Every job is one task;
there are never more than the pools have places.
"""

import asyncio
import itertools
import secrets
from collections.abc import Coroutine
from typing import Any

from node.delivery.attempt import Runner
from node.delivery.clock import wall_ms, wall_ns
from node.delivery.fair import Fair
from node.delivery.job import Job
from node.delivery.lanes import Lane, Lanes
from node.delivery.settle import Settler
from node.delivery.tracing import Tracer
from node.delivery.ways import SLOT_LOOK_MS, Held, Later, Ways
from node.policy.choose import LOOK_AGAIN_MS, NoWay
from node.policy.envelope import Direction
from node.spool.contract import Due

POSTPONE_FROM_MS = 10_000
"""A lane that rests longer has the reason written to its first message, for people who look at the queue."""
STRANGE_BEFORE_REST = 16
"""Messages in a row without any way: the lane itself rests then, or a wrong configuration writes a million rows."""
STRANGE_REST_S = 60.0
MAX_REST_S = 60.0
READ_TURNS = 8
"""Turns of the loop an answer takes from the socket to the attempt: two for a line of SMTP, more for HTTP."""
MAX_SIDE_TASKS = 256
"""Postponements under way; beyond them the pass ends and goes on when some are written."""


class Dispatcher:
    """The engine of the back door."""

    def __init__(self, lanes: Lanes, fair: Fair, ways: Ways, runner: Runner, settler: Settler, tracer: Tracer) -> None:
        """Put the parts together; nothing starts before ``kick``."""
        self._lanes = lanes
        self._fair = fair
        self._ways = ways
        self._runner = runner
        self._settler = settler
        self._tracer = tracer
        self._kicked = False
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self.jobs: dict[asyncio.Task[None], Job] = {}
        self._side: set[asyncio.Task[None]] = set()
        self.stopped = True

    def kick(self) -> None:
        """Ask for a pass soon; many askings make one pass."""
        if not self._kicked and not self.stopped:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._pass)

    def _pass(self) -> None:
        self._kicked = False
        while not self.stopped and not self._ways.all_full and len(self._side) < MAX_SIDE_TASKS:
            if not self._start_next():
                return

    def _start_next(self) -> bool:
        """Start one attempt of the first lane in turn that can; False when none can."""
        for name in self._fair.in_turn():
            lane = self._lanes.known.get(name)
            if lane is not None and self._start(lane):
                self._fair.served(name)
                return True
            if len(self._side) >= MAX_SIDE_TASKS:
                return False
        return False

    def _start(self, lane: Lane) -> bool:
        while lane.window:
            due = lane.window[0]
            now_ms = wall_ms()
            if due.message.expires_ms <= now_ms:
                self._aside(lane, self._settler.expire(due, now_ms), due)
                if len(self._side) >= MAX_SIDE_TASKS:
                    return False
                continue
            found = self._ways.hold(due, lane.direction)
            if isinstance(found, Held):
                self._go(lane, due, found)
                return True
            if not self._pass_over(lane, due, found):
                return False
        self._lanes.refill(lane)
        self._lanes.offer(lane)
        return False

    def _go(self, lane: Lane, due: Due, held: Held) -> None:
        now_ns = wall_ns()
        chosen, rest = due.recipients[: held.recipients], due.recipients[held.recipients :]
        lane.window.popleft()
        lane.strange = 0
        if rest:
            lane.hand[due.message.id] += 1
            lane.window.appendleft(_with(due, rest))
        job = Job(
            attempt_id=f"{self._prefix}-{next(self._numbers):x}",
            due=due,
            recipients=chosen,
            direction=lane.direction,
            way=held.way,
            place=held.place,
            grant=held.grant,
            context=self._tracer.begin(due, now_ns // 1_000_000),
            started_ns=now_ns,
            ready_ns=min(now_ns, max(due.message.received_ms, chosen[0].next_attempt_ms) * 1_000_000),
            permit_ns=now_ns - lane.short_since_ns if lane.short_since_ns else 0,
        )
        lane.short_since_ns = 0
        job.hurried = self._ways.hurried(job)
        self._ways.begin(job)
        task = asyncio.get_running_loop().create_task(self._runner.run(job))
        self.jobs[task] = job
        task.add_done_callback(lambda done: self._ended(done, lane))
        self._lanes.refill(lane)
        self._lanes.offer(lane)

    def _ended(self, task: "asyncio.Task[None]", lane: Lane) -> None:
        job = self.jobs.pop(task)
        self._ways.ended(job)
        self._lanes.done(lane, job.message.id)
        if task.cancelled():  # its mail may be as it was, and nobody tells of it
            self._lanes.woken(lane.name)
        elif task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "an attempt ended with an unforeseen error", "exception": task.exception(), "task": task}
            )
        self.kick()

    def _pass_over(self, lane: Lane, due: Due, found: Later | NoWay) -> bool:
        """Deal with a message that cannot start; True when the lane's next message may be looked at."""
        now_ms = wall_ms()
        if isinstance(found, NoWay):
            return self._no_way(lane, due, found, now_ms)
        lane.short_since_ns = lane.short_since_ns or wall_ns()
        if found.for_place:
            # Stays in line: the next place that comes free is offered again in turn. A slot held by nobody here
            # (another node, or a session that lingers) comes free without news.
            if not self.jobs:
                self._lanes.rest(lane.name, SLOT_LOOK_MS / 1000, found.reason)
            return False
        if not found.lasting:
            self._aside(lane, self._settler.postpone(due, due.recipients, found.until_ms, found.reason), due)
            return len(self._side) < MAX_SIDE_TASKS
        seconds = min(MAX_REST_S, max(0.001, (found.until_ms - now_ms) / 1000))
        self._lanes.rest(lane.name, seconds, found.reason)
        if found.until_ms - now_ms >= POSTPONE_FROM_MS and due.recipients[0].last_reason != found.reason:
            # Due all the time: the lane rests, and a rest may end early. Later, it would outsleep that.
            self._aside(lane, self._settler.postpone(due, due.recipients, now_ms, found.reason), due)
        return False

    def _no_way(self, lane: Lane, due: Due, found: NoWay, now_ms: int) -> bool:
        if found.bounce:
            self._aside(lane, self._settler.refuse(due, found.reason, found.why, now_ms), due)
            return len(self._side) < MAX_SIDE_TASKS
        lane.strange += 1
        self._aside(lane, self._settler.postpone(due, due.recipients, now_ms + LOOK_AGAIN_MS, found.reason), due)
        if lane.strange >= STRANGE_BEFORE_REST:
            lane.strange = 0
            self._lanes.rest(lane.name, STRANGE_REST_S, found.reason)
            return False
        return len(self._side) < MAX_SIDE_TASKS

    def _aside(self, lane: Lane, work: Coroutine[Any, Any, None], due: Due) -> None:
        """Take the first message of the window out of line while something is written about it."""
        lane.window.popleft()
        task = asyncio.get_running_loop().create_task(work)
        self._side.add(task)

        def ended(done: "asyncio.Task[None]") -> None:
            self._side.discard(done)
            self._lanes.done(lane, due.message.id)
            self.kick()

        task.add_done_callback(ended)
        self._lanes.refill(lane)
        self._lanes.offer(lane)

    def holds(self, message_id: str, lane_name: str) -> bool:
        """Tell whether this dispatcher has a message of a lane in hand."""
        lane = self._lanes.known.get(lane_name)
        return lane is not None and message_id in lane.hand

    async def idle(self) -> None:
        """Wait until nothing is under way. Start nothing new first, or this may take for ever."""
        while self.jobs or self._side:
            await asyncio.wait([*self.jobs, *self._side])

    def fence(self) -> None:
        """Start nothing; cut what has not sent its final dot. What has may still hear its answer (I3)."""
        self.stopped = True
        self._cut_before_the_dot()

    def _cut_before_the_dot(self) -> None:
        for task, job in self.jobs.items():
            if not job.past_the_dot:
                task.cancel()

    async def abandon(self) -> None:
        """Cut every attempt there is: before the final dot nothing happened, after it the outcome is unknown.

        Unless the answer has come already: a loop that was held up finds its deadline passed before it looks at its
        sockets, and what it could have read must not be sent again.
        """
        tasks = [*self.jobs, *self._side]
        self._cut_before_the_dot()
        for _ in range(READ_TURNS):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()


def _with(due: Due, recipients: tuple[Any, ...]) -> Due:
    return Due(
        message=due.message,
        lane=due.lane,
        recipients=recipients,
        last_traceparent=due.last_traceparent,
        pairing=due.pairing,
    )


def direction_of(lane: str) -> Direction:
    """Read the direction from a lane's name."""
    return Direction(lane.split("/", 3)[2])
