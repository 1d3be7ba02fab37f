"""Scripted faults: which moment of which attempt goes wrong, and how. Pure; reads no file, waits for nothing.

Steps are tried in order; the first that matches and is not used up decides. As YAML, for example:

    - {at: dot, when: {attempt: 1}, reply: "451 4.7.0 Temporary server error. Please try again later. PRX4"}
    - {at: dot, when: {subject: "lose-me"}, times: 1, cut: true}          # received, but never answered
    - {at: rcpt, when: {recipient: "nobody@*"}, reply: "550 5.1.10 RESOLVER.ADR.RecipientNotFound"}
    - {at: auth, when: {account: relay1@contoso.com}, skip: 2, times: 3, delay: 10s, reply: "454 4.7.0 Not now"}
    - {at: token, times: 5, reply: "503 AADSTS90033: A transient error has occurred"}
"""

import re
from collections import OrderedDict
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from node.rehearsal.errors import RehearsalInputError
from node.settings.base import Part
from node.settings.units import Seconds

MAX_STEPS = 1000
MAX_COUNTED_KEYS = 200_000  # attempt numbers of the least recently seen keys are forgotten beyond this
_REPLY = re.compile(r"[2-5]\d\d[ -][^\r\n]*(?:\r?\n[2-5]\d\d[ -][^\r\n]*)*")


class Moment(StrEnum):
    """Where in a conversation a step takes effect."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    TOKEN = "token"  # noqa: S105 - the token endpoint
    IDENTITY = "identity"  # the machine's own endpoint, for managed identities
    GRAPH = "graph"  # sendMail, or the sending of a draft
    DRAFT = "draft"
    UPLOAD = "upload"
    DELETE = "delete"  # of a draft
    LOOK = "look"  # into Sent Items or Drafts
    TRACE = "trace"


OVER_HTTP = (
    Moment.TOKEN,
    Moment.IDENTITY,
    Moment.GRAPH,
    Moment.DRAFT,
    Moment.UPLOAD,
    Moment.DELETE,
    Moment.LOOK,
    Moment.TRACE,
)


class Issue(StrEnum):
    """What can be wrong with a token that is given all the same (facts m365 §3.3)."""

    WRONG_AUDIENCE = "wrong_audience"
    WRONG_TENANT = "wrong_tenant"
    EXPIRED = "expired"
    EXPIRING = "expiring"  # it lives for some seconds more
    REVOKED = "revoked"
    NO_ROLES = "no_roles"


class Facts(NamedTuple):
    """What is known at a moment; what is not known yet is empty and matches only steps that do not ask for it."""

    key: str = ""
    """What attempts are counted by: the mailbox at auth, the sender at mail, the recipient at rcpt, the message's
    id and first recipient at dot and graph, the client id at token and identity, the mailbox at draft, upload and
    look, the message's id at trace; the peer's address before any of these."""
    account: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    subject: str = ""
    id: str = ""
    service: str = ""


class When(Part):
    """Conditions, all of which must hold; patterns are shell-like and ignore case."""

    attempt: int | tuple[int, int] | None = None
    """The n-th time this key is seen at this moment, counted from 1 since the script was set; or first and last."""
    account: str | None = None
    sender: str | None = None
    recipient: str | None = None
    subject: str | None = None
    """A word the subject contains (only at dot)."""
    id: str | None = None
    """X-Rehearsal-Id or Message-ID (only at dot)."""
    service: str | None = None
    """The port: ``submission``, ``mx``, ``hve``, ``acs`` or ``smarthost``."""

    def holds(self, facts: Facts, attempt: int) -> bool:
        """Tell whether the conditions hold."""
        if self.attempt is not None:
            first, last = (self.attempt, self.attempt) if isinstance(self.attempt, int) else self.attempt
            if not first <= attempt <= last:
                return False
        if self.recipient is not None and not any(_like(one, self.recipient) for one in facts.recipients):
            return False
        if self.subject is not None and self.subject.lower() not in facts.subject.lower():
            return False
        return all(
            pattern is None or _like(value, pattern)
            for value, pattern in (
                (facts.account, self.account),
                (facts.sender, self.sender),
                (facts.id, self.id),
                (facts.service, self.service),
            )
        )


class Step(Part):
    """One fault."""

    at: Moment
    when: When = When()
    skip: int = Field(default=0, ge=0)
    """Let so many matches through first."""
    times: int | None = Field(default=None, ge=1)
    """Then act so often; None: always."""
    delay: Seconds = 0.0
    """Wait first, divided by the time scale."""
    reply: str | None = None
    """The raw reply, several lines joined by newlines; over HTTP a status and the error: ``429 TooManyRequests: …``."""
    retry_after: Seconds | None = None
    """Over HTTP: said with the reply."""
    retry_after_date: bool = False
    """Said as a date instead of seconds (RFC 9110 §10.2.3)."""
    half: bool = False
    """Over HTTP: break off in the middle of the answer."""
    issue: Issue | None = None
    """At token and identity: give a token with this wrong."""
    cut: bool = False
    """Cut the connection instead of answering."""
    close: bool = False
    """Hang up after the reply (a 421 does so anyway)."""
    garbage: bool = False
    """Answer bytes that are no reply."""
    accepted: bool | None = None
    """At dot: whether the message was received all the same. By default: with a 2xx reply or a cut, yes.

    At draft, upload and delete: whether it was done all the same. By default no.
    """
    after_bytes: int = Field(default=0, ge=0)
    """At body: act once so much of the content has arrived."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if sum((self.reply is not None, self.cut, self.garbage, self.half, self.issue is not None)) > 1:
            raise ValueError("choose one of reply, cut, garbage, half and issue")
        if (self.half or self.retry_after is not None) and self.at not in OVER_HTTP:
            raise ValueError(f"half and retry_after are for {', '.join(OVER_HTTP)}")
        if self.issue is not None and self.at not in (Moment.TOKEN, Moment.IDENTITY):
            raise ValueError("issue is for token and identity")
        if self.reply is not None and _REPLY.fullmatch(self.reply) is None:
            raise ValueError("a reply starts each line with three digits and a space or a hyphen")
        if self.at is Moment.BODY and not self.cut:
            raise ValueError("at body only cut is possible: nothing is said while content arrives")
        if self.at is Moment.CONNECT and (self.reply is not None or self.garbage):
            raise ValueError("at connect nothing can be said; use banner")
        return self

    @property
    def speaks(self) -> bool:
        """Whether something is said in place of the normal reply."""
        return self.garbage or self.half or self.reply is not None

    @property
    def positive(self) -> bool:
        """Whether the conversation goes on as if all was well."""
        return not self.garbage and (self.reply is None or self.reply[0] in "23")

    @property
    def status(self) -> int:
        """Over HTTP: the status of the reply."""
        return int((self.reply or "200")[:3])

    @property
    def received(self) -> bool:
        """Whether at dot the message was taken (see ``accepted``)."""
        if self.accepted is not None:
            return self.accepted
        return self.positive


_STEPS = TypeAdapter(tuple[Step, ...])


def read_steps(source: Any, place: str) -> tuple[Step, ...]:
    """Check plain data (from YAML or JSON); raises RehearsalInputError naming each fault and its place."""
    try:
        steps = _STEPS.validate_python(source if source is not None else ())
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        lines = (f"{place}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults)
        raise RehearsalInputError("\n".join(lines)) from None
    if len(steps) > MAX_STEPS:
        raise RehearsalInputError(f"{place}: more than {MAX_STEPS} steps")
    return steps


class Script:
    """The steps in force, how often each matched, and how often each key was seen."""

    def __init__(self, steps: tuple[Step, ...] = ()) -> None:
        """Start with these steps."""
        self._seen: OrderedDict[tuple[Moment, str], int] = OrderedDict()
        self.set(steps)

    def set(self, steps: tuple[Step, ...]) -> None:
        """Replace all steps and forget all counts."""
        self._by_moment: dict[Moment, list[int]] = {}
        self.steps = steps
        self.matched = [0] * len(steps)
        self._seen.clear()
        for number, step in enumerate(steps):
            self._by_moment.setdefault(step.at, []).append(number)

    def expects(self, moment: Moment) -> bool:
        """Tell whether any step concerns this moment; saves gathering facts when none does."""
        return moment in self._by_moment

    def next(self, moment: Moment, facts: Facts) -> Step | None:
        """Count this occurrence and give the step that decides it, if any."""
        numbers = self._by_moment.get(moment)
        if numbers is None:
            return None
        attempt = self._count(moment, facts.key)
        for number in numbers:
            step = self.steps[number]
            if not step.when.holds(facts, attempt):
                continue
            if step.times is not None and self.matched[number] >= step.skip + step.times:
                continue
            self.matched[number] += 1
            if self.matched[number] > step.skip:
                return step
        return None

    def report(self) -> list[dict[str, Any]]:
        """Give each step with the number of times it acted."""
        return [
            {**step.model_dump(mode="json", exclude_defaults=True), "acted": max(0, matched - step.skip)}
            for step, matched in zip(self.steps, self.matched, strict=True)
        ]

    def _count(self, moment: Moment, key: str) -> int:
        place = (moment, key)
        seen = self._seen.pop(place, 0) + 1
        self._seen[place] = seen
        if len(self._seen) > MAX_COUNTED_KEYS:
            self._seen.popitem(last=False)
        return seen


def _like(value: str, pattern: str) -> bool:
    return fnmatchcase(value.lower(), pattern.lower())
