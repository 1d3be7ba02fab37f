"""Checks how mail by the connector arrives: sent to a mailbox that is read, and looked at there (policy/sample.py)."""

from node.check.contract import Finding, Grade, Scene, WayToTest
from node.check.letter import letter_for, new_message_id
from node.check.pathways import sender_of
from node.policy.sample import DIRECTION, Arrived, seen_in

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
    message_id = new_message_id(sender, scene.now_ms)
    data = letter_for(sender, mailbox, scene.now_ms, message_id)
    told = await scene.prober.send(way.name, sender, mailbox, data)
    if not told.good:
        # Why is said where the envelope was tried.
        return scene.finding(subject, WHAT, Grade.NOTE, "not tried: the message was not taken", said=str(told.reply))
    head = await scene.prober.arrived(scene.tenant, mailbox, message_id)
    if head is None:
        return scene.finding(
            subject, WHAT, Grade.NOTE, f"not found in {mailbox} in time: look whether it is in quarantine"
        )
    return _judged(scene, subject, head)


def _judged(scene: Scene, subject: str, head: bytes) -> Finding:
    seen = seen_in(head)
    said = seen.said
    if seen.arrived is Arrived.OURS:
        return scene.finding(subject, WHAT, Grade.GOOD, said=said)
    if seen.arrived is Arrived.ANYBODYS:
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
