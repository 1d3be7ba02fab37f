"""Checks of mailboxes: log in to each, then send as itself and as each From it is to serve, to itself."""

from node.check.blocks import Cause
from node.check.causes import Evidence, cause_of
from node.check.claims import Claims
from node.check.contract import Finding, Grade, Scene, Told, WayToTest
from node.check.letter import letter_for, new_message_id
from node.policy.classify import Classifier
from node.policy.reply import printable
from node.settings.clouds import cloud_of
from node.setup.needs import needs_of

FORBIDDEN = 403
MAILBOX_PATHS = ("submission", "graph", "hve")


async def accounts(scene: Scene, seen: dict[str, Claims | None], classifier: Classifier) -> list[Finding]:
    """Try every account on every path it serves."""
    ways = [way for way in scene.ways if way.path in MAILBOX_PATHS]
    logins = [(way, await scene.prober.login(way.name)) for way in ways]
    found: list[Finding] = []
    for way, told in logins:
        evidence = _evidence(scene, way, logins, seen)
        found.append(_found(scene, way, "log in", told, evidence, classifier))
        if told.good and way.path == "graph":
            found += await by_graph(scene, way, evidence, classifier)
        if told.good:
            found += await _pairs(scene, way, evidence, classifier)
    return found


async def by_graph(scene: Scene, way: WayToTest, evidence: Evidence, classifier: Classifier) -> list[Finding]:
    """A token is no login: whether the mailbox is there, and may hold drafts where large mail is built anew.

    An app that only sends may not look: then sending tells whether the mailbox is there.
    """
    told = await scene.prober.look(way.name)
    needs = needs_of(scene.settings, scene.tenant)
    if told.reply.code == FORBIDDEN and not (needs.looks or needs.rebuilds):
        text = "the app may not look into it, and need not: only sending tells whether it is there"
        found = [scene.finding(_subject(way), "reach the mailbox", Grade.NOTE, text)]
    else:
        found = [_found(scene, way, "reach the mailbox", told, evidence, classifier)]
    if needs.rebuilds and told.good:
        made = await scene.prober.draft(way.name)
        found.append(_found(scene, way, "write and delete a draft", made, evidence, classifier))
    return found


async def _pairs(scene: Scene, way: WayToTest, evidence: Evidence, classifier: Classifier) -> list[Finding]:
    """Every From the account is to serve, as far as addresses are known by name (operations F1)."""
    if not scene.sends:
        return [scene.finding(_subject(way), "send", Grade.NOTE, "not tried: no message was to be sent")]
    found = []
    for sender in [way.mailbox, *_senders(scene, way)][: scene.pairs + 1]:
        to = scene.to or (_inside(scene) if way.path == "hve" else way.mailbox)
        letter = letter_for(sender, to, scene.now_ms, new_message_id(sender, scene.now_ms))
        told = await scene.prober.send(way.name, sender, to, letter)
        what = "send as itself" if sender == way.mailbox else f"send as {sender}"
        found.append(_found(scene, way, what, told, evidence, classifier))
    return found


def _inside(scene: Scene) -> str:
    """Give a recipient of the tenant: an account for High Volume Email has no mailbox, and sends nowhere else."""
    tenant = scene.settings.tenants[scene.tenant]
    domain = tenant.domains[0].removeprefix("*.")
    known = (*(tenant.ndrs.mailboxes if tenant.ndrs is not None else ()), *tenant.service_accounts)
    return next(iter(known), f"postmaster@{domain}")


def _senders(scene: Scene, way: WayToTest) -> tuple[str, ...]:
    if way.path == "hve":
        return _tied(scene, way)
    needs = needs_of(scene.settings, scene.tenant)
    mailbox = next((one for one in needs.tenant.service_accounts if one.lower() == way.mailbox.lower()), None)
    return needs.sends_as(mailbox) if mailbox is not None else ()


def _tied(scene: Scene, way: WayToTest) -> tuple[str, ...]:
    """Give the addresses tied to an account for High Volume Email, as far as they are named (facts m365 §1.1 D)."""
    hve = scene.settings.tenants[scene.tenant].hve
    found = {mailbox.lower(): account for mailbox, account in hve.accounts.items()} if hve is not None else {}
    account = found.get(way.mailbox.lower())
    return tuple(one for one in account.send_as if "*" not in one) if account is not None else ()


def _evidence(
    scene: Scene, way: WayToTest, logins: list[tuple[WayToTest, Told]], seen: dict[str, Claims | None]
) -> Evidence:
    tenant = scene.settings.tenants[scene.tenant]
    others = [told for one, told in logins if one.path == way.path and one.mailbox != way.mailbox]
    return Evidence(
        mailbox=way.mailbox,
        claims=seen.get(way.flow),
        scope=cloud_of(tenant).scope if way.flow == scene.tenant else "",
        tenant_id=tenant.id,
        others_work=any(told.good for told in others),
        others_fail=any(not told.good for told in others),
    )


def _found(scene: Scene, way: WayToTest, what: str, told: Told, evidence: Evidence, classifier: Classifier) -> Finding:
    subject = _subject(way)
    if told.good:
        return scene.finding(subject, what, Grade.GOOD)
    return refusal(scene, subject, what, told, cause_of(told, way.path, evidence, classifier))


def refusal(scene: Scene, subject: str, what: str, told: Told, cause: Cause) -> Finding:
    """Make the finding of something refused; the other side's words are cut and made harmless."""
    said = printable(f"{told.stage.value}: {told.reply}") if told.reply.code or told.reply.text else ""
    return scene.finding(subject, what, Grade.BAD, cause.text, advice=cause.advice, said=said)


def _subject(way: WayToTest) -> str:
    return f"{way.path} {way.mailbox}"
