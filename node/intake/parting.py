"""How a connection ends from this side: what has taken too long, and a stop of the door (RFC 5321 §3.8, §4.5.3.2)."""

from node.intake.arriving import Arriving
from node.intake.conversation import Conversation
from node.intake.house import reason_of
from node.intake.leaving import Doing, Stage, leaves
from node.intake.replies import Say
from node.intake.sequence import Mode


class Parting(Arriving):
    """A connection that can be told to end."""

    _looked_s = 0.0
    """The deadline at the last look of a stop: the client's words move it."""
    _silent_since_s = 0.0
    """The look since which it has not moved. Not worked out of the deadline: on a busy host its clock may be old."""

    def tick(self, now_s: float) -> None:
        """End what has taken too long."""
        if now_s < self.deadline_s and now_s < self.ends_s:
            return
        talk = self.talk
        if self._done or talk is None:
            self.transport.abort()
        elif self._awaited is not None:
            if now_s >= self.deadline_s:
                self._say_last(talk, Say.TRY_LATER)
        elif now_s >= self.ends_s:
            self._say_last(talk, Say.SESSION_TOO_LONG)
        else:
            self._say_last(talk, Say.TOO_SLOW if talk.mode is Mode.DATA else Say.IDLE)

    def leave(self, stage: Stage) -> None:
        """Go along with a stop: end if this stage of it has it so. What the client has sent counts, read or not."""
        self.stage = stage
        talk = self.talk
        if self._done:
            return
        if talk is None:  # a balancer's header is awaited
            if stage is Stage.LAST:
                self._finish(now=True)
            return
        doing = self._doing(talk)
        now_s = self.house.clock_s
        if self.deadline_s != self._looked_s:
            self._looked_s, self._silent_since_s = self.deadline_s, now_s
        if not leaves(stage, doing, now_s - self._silent_since_s):
            return
        if stage is Stage.LAST:
            self._say_last(talk, Say.SHUTTING_DOWN)
        elif not self._has_more():
            self._end(talk, Say.SHUTTING_DOWN)

    def _doing(self, talk: Conversation) -> Doing:
        if self._awaited is not None:
            return Doing.STORING
        if talk.mode is not Mode.COMMAND or talk.transfer is not None or self._shaking is not None or self._buffer:
            return Doing.BUSY
        return Doing.BETWEEN if talk.messages else Doing.ARRIVED

    def _say_last(self, talk: Conversation, reply: bytes) -> None:
        self.house.telemetry.count("relay_intake_refused", reason=reason_of(reply))
        self._end(talk, reply)

    def _end(self, talk: Conversation, reply: bytes) -> None:
        talk.close(reply)
        if not self._shaking:
            self.transport.write(reply)
        self._finish(linger=True)
