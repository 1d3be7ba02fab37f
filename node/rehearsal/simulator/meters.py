"""The limits of accounts and tenants: what counts, what is over, what was violated (facts m365 §2).

Pure: ``now_s`` is handed in. The meter judges by the worst case and never forgives; the gate decides what is refused.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Protocol

from node.rehearsal.simulator.directory import Limits
from node.rehearsal.simulator.windows import Gate, WindowMeter

THROTTLE_WINDOW_S = 3600.0
_MAX_ERRORS = 1000  # remembered per account and class


@dataclass(slots=True)
class Submission:
    """One message between MAIL and its reply."""

    rate: int
    recipients: int
    external: int
    gated: bool
    """Fitted into the rate when MAIL came."""


class Meter(Protocol):
    """What a transaction does with whoever counts it; the handle is the meter's own."""

    def cancel(self, submission: Any) -> None:
        """It ended before DATA."""
        ...

    def end(self, submission: Any, now_s: float, recipients: int, external: int) -> None:
        """Its reply leaves, or the connection broke after DATA."""
        ...


class TenantMeter:
    """External recipients of a tenant in 24 h (facts m365 §2.2)."""

    def __init__(self, limit: int | None, window_s: float) -> None:
        """Measure against ``limit`` (None: only measure)."""
        self.meter = WindowMeter(window_s, limit)
        self.gate = Gate(window_s, limit)
        self.refused = 0

    def report(self, now_s: float) -> dict[str, Any]:
        """Give the figures for the statistics."""
        seen = self.meter.report(now_s, open_weight=0)
        return {
            "external_limit": self.meter.limit,
            "external_worst_window": seen.worst,
            "refused": self.refused,
            "violations": {"external_recipients": seen.over},
            "truncated": seen.truncated,
        }


class AccountMeter:
    """One mailbox: rate, sessions, recipients."""

    def __init__(self, limits: Limits, tenant: TenantMeter) -> None:
        """Measure against the limits of the directory."""
        self._limits = limits
        self._tenant = tenant
        self._rate = WindowMeter(limits.rate.window_s, limits.rate.amount)
        self._answered = WindowMeter(limits.rate.window_s, None)
        self._gate = Gate(limits.rate.window_s, limits.rate.amount)
        self._recipients = WindowMeter(limits.recipients.window_s, limits.recipients.amount)
        self._recipient_gate = Gate(limits.recipients.window_s, limits.recipients.amount)
        self._errors: dict[str, deque[float]] = {}
        self._throttled: tuple[str, float] | None = None
        self._sessions: dict[int, None] = {}
        self.sessions_peak = 0
        self.counts: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()

    def renewed(self, tenant: TenantMeter) -> "AccountMeter":
        """Give a fresh meter that knows the sessions still open."""
        fresh = AccountMeter(self._limits, tenant)
        fresh._sessions = self._sessions
        fresh.sessions_peak = len(self._sessions)
        return fresh

    # -- sessions ---------------------------------------------------------------------------------------------------

    def enter(self, session: int) -> None:
        """A session logged in."""
        self._sessions[session] = None
        self.sessions_peak = max(self.sessions_peak, len(self._sessions))
        self.counts["logins"] += 1
        if len(self._sessions) > self._limits.sessions:
            self.violations["sessions"] += 1

    def leave(self, session: int) -> None:
        """It is gone, for whatever reason."""
        self._sessions.pop(session, None)

    def surplus(self, session: int) -> bool:
        """Tell whether this session is beyond the limit: the oldest ones keep their place."""
        if len(self._sessions) <= self._limits.sessions:
            return False
        return session not in list(self._sessions)[: self._limits.sessions]

    # -- messages ---------------------------------------------------------------------------------------------------

    def begin(self, now_s: float) -> Submission:
        """MAIL was taken: from now on the message may be counted."""
        gated = self._gate.fits(now_s)
        if gated:
            self._gate.take()
        return Submission(
            rate=self._rate.begin(now_s),
            recipients=self._recipients.begin(now_s),
            external=self._tenant.meter.begin(now_s),
            gated=gated,
        )

    def cancel(self, submission: Submission) -> None:
        """The transaction ended before DATA: it cannot have been counted."""
        if submission.gated:
            self._gate.give_back()
        self._rate.cancel(submission.rate)
        self._recipients.cancel(submission.recipients)
        self._tenant.meter.cancel(submission.external)

    def end(self, submission: Submission, now_s: float, recipients: int, external: int) -> None:
        """The reply leaves (or the connection broke after DATA); pass 0 recipients when the message was refused."""
        if submission.gated:
            # A refused message frees the gate at once; the meter nevertheless counts it.
            if recipients:
                self._gate.settle(now_s)
            else:
                self._gate.give_back()
        self._rate.end(submission.rate, now_s)
        self._answered.end(self._answered.begin(now_s), now_s)
        self._recipients.end(submission.recipients, now_s, recipients)
        self._tenant.meter.end(submission.external, now_s, external)
        for gate, weight in ((self._recipient_gate, recipients), (self._tenant.gate, external)):
            if weight:
                gate.take(weight)
                gate.settle(now_s, weight)

    def wait_s(self, submission: Submission, now_s: float) -> float:
        """Seconds to delay a surplus message; when it fits it takes its place and the answer is 0."""
        if submission.gated:
            return 0.0
        wait_s = self._gate.wait_s(now_s)
        if wait_s == 0.0:
            self._gate.take()
            submission.gated = True
        return wait_s

    def recipients_fit(self, now_s: float, recipients: int) -> bool:
        """Tell whether so many more stay within 24 h."""
        return self._recipient_gate.fits(now_s, recipients)

    def external_fit(self, now_s: float, external: int) -> bool:
        """Tell whether the tenant may send to so many more outside."""
        return not external or self._tenant.gate.fits(now_s, external)

    # -- continuous errors --------------------------------------------------------------------------------------------

    def blame(self, kind: str, now_s: float) -> None:
        """Note a permanent error; too many of one kind throttle the account (facts m365 §2.1)."""
        if not self._limits.error_throttle:
            return
        times = self._errors.setdefault(kind, deque(maxlen=_MAX_ERRORS))
        times.append(now_s)
        while times and times[0] <= now_s - THROTTLE_WINDOW_S:
            times.popleft()
        if len(times) >= self._limits.error_throttle:
            self._throttled = (kind, now_s + self._limits.error_throttle_for)
            times.clear()

    def throttled(self, now_s: float) -> str | None:
        """Give the kind of error the account is throttled for, if it is."""
        if self._throttled is None or self._throttled[1] <= now_s:
            return None
        return self._throttled[0]

    def report(self, now_s: float) -> dict[str, Any]:
        """Give the figures for the statistics."""
        rate, recipients = self._rate.report(now_s), self._recipients.report(now_s, open_weight=0)
        return {
            **self.counts,
            "limit": self._limits.rate.amount,
            "worst_window": rate.worst,
            "answered_window": self._answered.report(now_s).worst,
            "recipients_worst_window": recipients.worst,
            "sessions_open": len(self._sessions),
            "sessions_peak": self.sessions_peak,
            "violations": {
                "rate": rate.over,
                "recipients": recipients.over,
                "sessions": 0,
                **self.violations,
            },
            "truncated": rate.truncated or recipients.truncated,
        }
