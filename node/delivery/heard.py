"""What each way answered last: for operators, who ask what Microsoft says before they ask anything else."""

import secrets
from typing import Final

import msgspec

from node.delivery.errors import Refused
from node.delivery.job import Job, Judgement
from node.delivery.transaction import Course
from node.policy.redact import Redactor
from node.policy.reply import Reply, Stage, printable

KEY_BYTES: Final = 32


class LastReply(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer on one way."""

    at_ms: int
    stage: Stage
    """What it answered."""
    code: int
    """0: there was no answer, and ``text`` says what happened instead."""
    enhanced: str
    text: str
    """At most 512 printable characters; a recipient that is named there is a token, for status pages show no people."""


class Heard:
    """By way; ways are as many as the configuration has."""

    def __init__(self) -> None:
        """Nothing was heard since the start."""
        self.last: dict[str, LastReply] = {}
        self._redactor = Redactor(secrets.token_bytes(KEY_BYTES))

    def attempt(self, job: Job, course: Course, judgement: Judgement, now_ms: int) -> None:
        """Note how an attempt ended; nothing of one that was decided here."""
        if judgement.fates and not course.local:
            fate = judgement.fates[-1]
            self._note(job, fate.stage, fate.reply, now_ms)

    def refused(self, job: Job, refused: Refused, now_ms: int) -> None:
        """Note why there was no connection."""
        self._note(job, refused.stage, refused.reply, now_ms)

    def _note(self, job: Job, stage: Stage, reply: Reply, now_ms: int) -> None:
        text = printable(self._redactor.text(reply.text))
        self.last[job.way.name] = LastReply(
            at_ms=now_ms, stage=stage, code=reply.code, enhanced=reply.enhanced, text=text
        )
