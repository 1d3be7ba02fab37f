"""One attempt as the dispatcher hands it over, and what became of it. Values only."""

from dataclasses import dataclass, field

from node.cluster.contract import Grant
from node.delivery.pool import Place
from node.delivery.transaction import Course
from node.policy.envelope import Direction, NewMessage
from node.policy.reply import Reply, Stage
from node.policy.route import Way
from node.policy.verdict import Verdict
from node.spool.contract import Due, Queued, RecipientResult
from node.telemetry.contract import TraceContext


@dataclass(slots=True, kw_only=True)
class Job:
    """Recipients of one message that share a transaction on one way; place and grant are held."""

    attempt_id: str
    due: Due
    recipients: tuple[Queued, ...]
    direction: Direction
    way: Way
    place: Place
    grant: Grant
    context: TraceContext
    started_ns: int
    ready_ns: int
    """When the recipients became due, for ``relay.queue``."""
    permit_ns: int = 0
    """How long due mail of this lane waited for a permit or a place."""
    hurried: bool = False
    """Urgent, and another way could take it: this one is not waited for as long as usual."""
    course: Course | None = None
    """How the conversation stands, once there is one."""
    head: bytes = b""
    """Header lines this attempt adds in front of the message."""

    @property
    def message(self) -> NewMessage:
        """The message."""
        return self.due.message

    @property
    def past_the_dot(self) -> bool:
        """Whether the final dot was sent: from then on only the answer tells what became of it."""
        return self.course is not None and self.course.dot_said

    @property
    def indexes(self) -> tuple[int, ...]:
        """Indexes of the recipients."""
        return tuple(recipient.index for recipient in self.recipients)


@dataclass(slots=True, kw_only=True)
class Judged:
    """One recipient's fate: what was said, what it means, what is to be written down."""

    recipient: Queued
    stage: Stage
    reply: Reply
    verdict: Verdict
    result: RecipientResult


@dataclass(slots=True, kw_only=True)
class Judgement:
    """All recipients' fates."""

    fates: list[Judged] = field(default_factory=list)
    free: bool = False
    """The conversation broke in a way that says nothing: tried again at once, no strike."""

    @property
    def results(self) -> tuple[RecipientResult, ...]:
        """What to write down."""
        return tuple(fate.result for fate in self.fates)
