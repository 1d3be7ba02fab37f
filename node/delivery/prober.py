"""Asks a connector whether it still matches: a conversation up to RCPT for somebody outside, then RSET. Sends no mail.

A connector that no longer matches goes on taking mail for mailboxes inside, as direct send; only a recipient outside
is refused (facts m365 §1.4, §4.7). What is heard counts for the path as what an attempt hears does: a path that rests
for it is tried by the probe first, not by mail.
"""

from collections.abc import Callable

from node.delivery.clock import wall_ms
from node.delivery.connection import Connection, Phase, broken_reply
from node.delivery.endpoint import Endpoint
from node.delivery.errors import Refused, WireBroken
from node.delivery.letter import safe
from node.delivery.opener import Opener
from node.policy.classify import Classifier
from node.policy.health import Change, HealthBook
from node.policy.reply import Reply, Stage, reply_from
from node.policy.route import Way
from node.policy.verdict import Outcome, Scope, Verdict

MATCHES = Verdict(scope=Scope.RECIPIENT, outcome=Outcome.DELIVERED, reason="connector_matches", source="m365 §1.4")
SAYS_NOTHING = Verdict(scope=Scope.RECIPIENT, outcome=Outcome.RETRY, reason="probe_inconclusive", source="m365 §1.4")
_SUCCESS = 2


class Prober:
    """One for the room."""

    def __init__(
        self, opener: Opener, classifier: Classifier, health: HealthBook, on_change: Callable[[Change], None]
    ) -> None:
        """Open connections of its own, so that certificate and address are shown anew."""
        self._opener = opener
        self.classifier = classifier
        self._health = health
        self._on_change = on_change

    async def look(self, endpoint: Endpoint, sender: str, recipient: str) -> tuple[Verdict, Reply] | None:
        """Ask once and let the path's standing learn; None while the path rests, or when there is nothing to ask."""
        way = Way(path=endpoint.path, tenant=endpoint.tenant, account=endpoint.account)
        if not (safe(sender) and safe(recipient)) or not self._health.available(way, sender, wall_ms()).ok:
            return None
        self._tell(self._health.begin(way, sender, wall_ms()))
        stage, reply = await self._asked(endpoint, sender, recipient)
        verdict = self._judged(endpoint.path, stage, reply)
        self._tell(self._health.note(way, sender, verdict, wall_ms()))
        return verdict, reply

    def _judged(self, path: str, stage: Stage, reply: Reply) -> Verdict:
        if stage is Stage.RCPT and reply.code // 100 == _SUCCESS:
            return MATCHES
        verdict = self.classifier.classify(path, stage, reply)
        # What concerns this recipient or a message alone was said by a service that would take mail from us.
        return SAYS_NOTHING if verdict.scope in (Scope.RECIPIENT, Scope.MESSAGE) else verdict

    async def _asked(self, endpoint: Endpoint, sender: str, recipient: str) -> tuple[Stage, Reply]:
        phases: list[Phase] = []
        try:
            session = await self._opener.open(endpoint, phases)
        except Refused as refused:
            return refused.stage, refused.reply
        try:
            assert isinstance(session, Connection)  # noqa: S101 - a connector is spoken to by SMTP
            return await _conversation(session, sender, recipient)
        finally:
            session.close()

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            self._on_change(change)


async def _conversation(connection: Connection, sender: str, recipient: str) -> tuple[Stage, Reply]:
    wire, patience_s = connection.wire, connection.endpoint.timings.command_s
    stage = Stage.MAIL
    try:
        answer = await wire.ask(f"MAIL FROM:<{sender}>".encode(), patience_s)
        if answer.code // 100 == _SUCCESS:
            stage = Stage.RCPT
            answer = await wire.ask(f"RCPT TO:<{recipient}>".encode(), patience_s)
            await wire.ask(b"RSET", patience_s)
    except WireBroken as error:
        return stage, broken_reply(error)
    return stage, reply_from(*answer)
