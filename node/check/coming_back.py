"""Checks of what comes back: mailboxes that are read, plus addresses, accepted domains as the tenant has them."""

from node.check.accounts import MAILBOX_PATHS, refusal
from node.check.blocks import Cause
from node.check.contract import Finding, Grade, Scene
from node.policy.reply import Stage
from node.policy.return_path import PATHS
from node.settings.mail import mailboxes_read
from node.settings.rules import return_addresses

MX_PATHS = ("connector", "direct-send")


async def coming_back(scene: Scene) -> list[Finding]:
    """Look at each."""
    return [*await _domains(scene), *await _mailboxes(scene), *await _plus(scene)]


async def _domains(scene: Scene) -> list[Finding]:
    """Compare the accepted domains: they decide what is inside, and what counts as outside."""
    ours = {domain.lower() for domain in scene.settings.tenants[scene.tenant].domains}
    theirs = await scene.prober.domains(scene.tenant)
    if theirs is None:
        text = "the app may not see them (and need not): compare with Get-AcceptedDomain"
        return [scene.finding("accepted domains", "compare", Grade.NOTE, text)]
    known = {domain.lower() for domain in theirs}
    found = [
        scene.finding(
            "accepted domains", "compare", Grade.BAD, f"{one} is not a domain of the tenant", advice=_TAKE_OUT
        )
        for one in sorted(ours - known)
        if not one.startswith("*.")
    ]
    missing = sorted(one for one in known - ours if not one.endswith(".onmicrosoft.com") and not _below(one, ours))
    if missing:
        text = f"the tenant has {', '.join(missing)} too: mail to it counts as outside here"
        found.append(scene.finding("accepted domains", "compare", Grade.DOUBT, text, advice="name it under domains"))
    return found or [scene.finding("accepted domains", "compare", Grade.GOOD)]


_TAKE_OUT = "take it out, or add and verify it in the tenant: senders of it are refused, and connectors do not match"


def _below(domain: str, ours: set[str]) -> bool:
    return any(one.startswith("*.") and domain.endswith(one[1:]) for one in ours)


async def _mailboxes(scene: Scene) -> list[Finding]:
    """Whether the mailboxes that are to be read can be."""
    tenant = scene.settings.tenants[scene.tenant]
    if tenant.ndrs is None:
        advice = _where_reports_go(scene)
        text = "none is read: what Microsoft takes and cannot deliver is shown as delivered"
        return [scene.finding("reports", "mailboxes", Grade.DOUBT, text, advice=advice)] if advice else []
    found = []
    for mailbox in mailboxes_read(tenant):
        why = await scene.prober.readable(scene.tenant, mailbox)
        text, advice = _unreadable(why)
        grade = Grade.BAD if why else Grade.GOOD
        said = why if text != why else ""
        found.append(scene.finding(f"mailbox {mailbox}", "read reports", grade, text, advice=advice, said=said))
    return found


def _unreadable(why: str) -> tuple[str, str]:
    """Put into words why a mailbox cannot be read, and what to do."""
    if " 404" in why:
        return "there is no such mailbox", "look at the spelling; it needs a licence, and to be in the cloud"
    if " 403" in why:
        return "the app may not read it", "assign 'Application Mail.Read' on the group, and put the mailbox into it"
    return why, "see the finding about the app's token" if why else ""


def _where_reports_go(scene: Scene) -> str:
    """Say what to set so that somebody reads reports; empty: all of them go to the return path."""
    if any(way.path in MAILBOX_PATHS for way in scene.ways):
        return "set tenants.*.ndrs"
    keyed = scene.tenant in return_addresses(scene.settings).by_tenant
    if keyed or not any(way.path in PATHS for way in scene.ways):
        return ""
    return "set bounces.return_path, or name the senders' mailboxes under tenants.*.ndrs"


async def _plus(scene: Scene) -> list[Finding]:
    """Whether the return path is taken with something behind a plus sign (operations M8)."""
    base = return_addresses(scene.settings).by_tenant.get(scene.tenant, "")
    if not base or not any(way.path in PATHS for way in scene.ways):
        return []
    way = next((way for way in scene.ways if way.path in MX_PATHS), None)
    subject = f"return path {base}"
    if way is None:
        text = "no path to the tenant's own MX: look whether mail to it with something behind a plus sign arrives"
        return [scene.finding(subject, "plus address", Grade.NOTE, text)]
    local, _, domain = base.partition("@")
    told = await scene.prober.envelope(way.name, base, f"{local}+check@{domain}")
    if told.good:
        return [scene.finding(subject, "plus address", Grade.GOOD)]
    if told.stage is not Stage.RCPT:
        return [scene.finding(subject, "plus address", Grade.NOTE, f"{way.path} did not come so far")]
    cause = Cause(
        text="mail to it is not taken: there is no such mailbox, or plus addressing is off",
        advice="Get-OrganizationConfig | Format-List DisablePlusAddressInRecipients must say False",
    )
    return [refusal(scene, subject, "plus address", told, cause)]
