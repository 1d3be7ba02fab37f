"""Checks how mail by the connector arrives: sent to a mailbox that is read, and looked at there.

A connector that no longer matches goes on taking mail for mailboxes inside, as direct send (facts m365 §1.4), and
nothing in the dialogue says so. The message does: Exchange Online writes whether it counts as the organisation's own.
Seen in headers that were published: ``Originating`` where a host of the organisation handed it in by its connector,
``Incoming`` where mail came from anybody [observed, not documented].
"""

from email.message import Message
from email.parser import BytesHeaderParser

from node.check.contract import Finding, Grade, Scene, WayToTest
from node.check.letter import letter_for
from node.check.pathways import sender_of

DIRECTION = "X-MS-Exchange-Organization-MessageDirectionality"
OURS, ANYBODYS = "originating", "incoming"
WHAT = "arrive as the organisation's"


async def arrival(scene: Scene) -> list[Finding]:
    """Send one message by the connector and look at it; nothing where there is no connector."""
    way = next((way for way in scene.ways if way.path == "connector"), None)
    if way is None:
        return []
    subject = f"{way.path} {way.place}"
    mailbox = _mailbox(scene)
    if not scene.sends or not mailbox:
        why = "no message was to be sent" if not scene.sends else "no mailbox of the tenant is read (tenants.*.ndrs)"
        return [scene.finding(subject, WHAT, Grade.NOTE, f"not tried: {why}")]
    return [await _looked(scene, way, subject, mailbox)]


async def _looked(scene: Scene, way: WayToTest, subject: str, mailbox: str) -> Finding:
    sender = sender_of(scene, way)
    data = letter_for(sender, mailbox, way.name, scene.now_ms)
    message_id = BytesHeaderParser().parsebytes(data)["Message-ID"]
    told = await scene.prober.send(way.name, sender, mailbox, data)
    if not told.good:
        # Why is said where the envelope was tried.
        return scene.finding(subject, WHAT, Grade.NOTE, "not tried: the message was not taken", said=str(told.reply))
    head = await scene.prober.arrived(scene.tenant, mailbox, message_id, scene.now_ms)
    if head is None:
        return scene.finding(
            subject, WHAT, Grade.NOTE, f"not found in {mailbox} in time: look whether it is in quarantine"
        )
    return _judged(scene, subject, BytesHeaderParser().parsebytes(head))


def _judged(scene: Scene, subject: str, head: Message) -> Finding:
    said = str(head.get(DIRECTION, "")).strip()
    if said.lower() == OURS:
        return scene.finding(subject, WHAT, Grade.GOOD, said=said)
    if said.lower() == ANYBODYS:
        text = (
            "it arrived as anybody's mail: no connector matched, mail inside goes on as direct send, outside it fails"
        )
        advice = (
            "compare the connector's certificate name or addresses with what this host shows (Get-InboundConnector)"
        )
        return scene.finding(subject, WHAT, Grade.BAD, text, advice=advice, said=f"{DIRECTION}: {said}")
    return scene.finding(subject, WHAT, Grade.NOTE, f"the message does not tell: it has no {DIRECTION}", said=said)


def _mailbox(scene: Scene) -> str:
    """Give a mailbox inside that the app may read; empty: none is."""
    tenant = scene.settings.tenants[scene.tenant]
    if tenant.ndrs is None or tenant.app is None:
        return ""
    own = tenant.service_accounts if tenant.ndrs.accounts else {}
    return next(iter((*tenant.ndrs.mailboxes, *own)), "")
