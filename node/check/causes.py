"""From a refusal to its cause in words: where Microsoft says only 535, what else is known decides. Pure.

Sources: facts m365 §3.2 to §3.5, §4.3, §4.4, §4.7, §5 items 5 to 8; operations F1.
"""

from typing import Final

import msgspec

from node.check.blocks import BLOCKS, Cause
from node.check.claims import SMTP_ROLE, Claims, audience_fits
from node.check.contract import Told
from node.policy.classify import Classifier
from node.policy.reply import Stage


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known besides the refusal."""

    mailbox: str = ""
    claims: Claims | None = None
    scope: str = ""
    tenant_id: str = ""
    others_work: bool = False
    """Another mailbox of the same app logged in."""
    others_fail: bool = False
    """Another mailbox of the same app was refused alike."""


_NOT_ITS_FROM: Final = Cause(
    text="this account may not use this From",
    advice="Add-RecipientPermission -Identity <From> -Trustee <account> -AccessRights SendAs",
)
_ROWS: Final[dict[str, Cause]] = {
    "smtp_auth_off_tenant": Cause(
        text="SMTP AUTH is off for the tenant, and this mailbox has no switch of its own",
        advice="Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false; the tenant's stays off",
    ),
    "smtp_auth_off_mailbox": Cause(
        text="SMTP AUTH is switched off for this mailbox",
        advice="Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false",
    ),
    "basic_auth_off": Cause(
        text="passwords are not taken by SMTP AUTH in this tenant",
        advice="let the account use tokens (leave its password out), or allow Basic by an authentication policy",
    ),
    "basic_auth_removed": Cause(
        text="Microsoft takes no passwords any more", advice="leave the account's password out"
    ),
    "security_defaults": Cause(
        text="security defaults refuse passwords", advice="let the account use tokens: leave its password out"
    ),
    "conditional_access": Cause(
        text="a Conditional Access policy refuses this login, perhaps by the address it comes from",
        advice="exclude the account or the addresses of the nodes; compare with the other nodes",
    ),
    "credentials_incorrect": Cause(text="user or password is wrong", advice="set the password; too many tries lock it"),
    "organization_refuses_login": Cause(
        text="the organisation's configuration refuses this login (High Volume Email)",
        advice="set up billing for HVE, and Add-HVEAppAccess for this account",
    ),
    "mailbox_logon_failed": Cause(
        text="the login works, the mailbox cannot be opened: the grant is younger than an hour, or has no effect",
        advice="wait an hour; then look at the role assignment and at the group's members",
    ),
    "account_mailbox_full": Cause(
        text="the mailbox is full: copies in Sent Items stop it from sending",
        advice="empty it, give it a retention tag, or switch its copies off",
    ),
    "bad_outbound_sender": Cause(
        text="the account is restricted for sending spam",
        advice="look at Defender's restricted entities, find what sent, then release it",
    ),
    "spam_abuse": Cause(text="the account is blocked for spam", advice="ask Microsoft's support"),
    "throttled_invalid_licence": Cause(text="the mailbox has no licence that may send", advice="license it"),
    "send_as_denied": _NOT_ITS_FROM,
    "sender_not_permitted": Cause(
        text="this account may not use this sender",
        advice="Add-RecipientPermission -Identity <From> -Trustee <account> -AccessRights SendAs",
    ),
    "not_logged_in": Cause(
        text="the server wants a login that was not made: a connector's settings pointed at the submission host",
        advice="use the tenant's MX for a connector",
    ),
    "mechanism_not_offered": Cause(
        text="the server does not offer this way of logging in", advice="look at host and port"
    ),
    "connect_failed": Cause(text="no connection", advice="look at the firewall: port and address of every node"),
    "name_not_resolved": Cause(text="the name does not resolve", advice="look at the host's name and the resolver"),
    "mx_elsewhere": Cause(
        text="the MX of the domain is not Microsoft's", advice="name the host: <tenant>.mail.protection.outlook.com"
    ),
    "tls_failed": Cause(text="TLS failed", advice="something between inspects it, or a certificate does not fit"),
    "certificate_refused": Cause(
        text="the server's certificate is not trusted, or bears another name",
        advice="put the authority into egress.ca, or find out who stands between",
    ),
    "starttls_missing": Cause(
        text="the server offers no STARTTLS", advice="something between takes it out, or the port is another one"
    ),
    "connector_not_matched": Cause(
        text="no inbound connector matches: another address or certificate than it names, or the sender's domain is "
        "not accepted",
        advice="compare the connector with this node's public address or the certificate's name",
    ),
    "direct_send_refused": Cause(
        text="the tenant refuses direct send, and no connector matched",
        advice="use a connector or submission instead",
    ),
    "relay_denied": Cause(text="the tenant relays nothing for us", advice="look at connector and accepted domains"),
    "source_banned": Cause(text="this address is banned at Microsoft", advice="ask for delisting, or leave by another"),
    "source_blocklisted": Cause(text="this address is on a block list", advice="ask for delisting"),
    "app_refused": Cause(text="the app gets no token", advice="see the finding about its token"),
    "token_unreachable": Cause(text="Entra cannot be reached", advice="look at egress.https_proxy and egress.ca"),
    "graph_forbidden": Cause(
        text="the app may not use this mailbox by Graph",
        advice="give it the role on the group, and put the mailbox into the group",
    ),
    "graph_may_not_draft": Cause(
        text="the app may not write drafts in this mailbox, and large mail by Graph needs one",
        advice="assign 'Application Mail.ReadWrite' on the group, or take rebuild off the plans",
    ),
    "graph_mailbox_full": Cause(
        text="the mailbox is full: copies in Sent Items stop it from sending", advice="empty it, or set retention"
    ),
    "graph_throttled": Cause(
        text="Graph has too many requests of this app for this mailbox", advice="look who else uses it; check later"
    ),
    "graph_send_as_denied": _NOT_ITS_FROM,
    "graph_no_mailbox": Cause(text="there is no such mailbox", advice="look at the address; is it licensed?"),
    "graph_token_refused": Cause(text="Graph refuses the token", advice="look at cloud.graph_scope"),
}
"""By reason of the reply table; for refusals that speak for themselves."""


_NOT_TIED: Final = Cause(
    text="this address is not tied to the account for High Volume Email",
    advice="tie it to the account, or take it out of hve.accounts.*.send_as",
)
_ON_PATH: Final[dict[tuple[str, str], Cause]] = {
    ("hve", "sender_not_permitted"): _NOT_TIED,
    ("hve", "send_as_denied"): _NOT_TIED,
    ("hve", "login_refused"): Cause(
        text="the app is not let in to this account: it is not on the account's list, or there is no such account",
        advice="Add-HVEAppAccess with the object id of the enterprise application (works within 5 minutes, 10 apps at "
        "most); look at the spelling with Get-MailUser -HVEAccount",
    ),
    ("hve", "token_expires_soon"): Cause(
        text="the token lives for less than ten minutes, which this service does not take",
        advice="look at the token lifetime policy of the app",
    ),
    ("acs", "sender_not_permitted"): Cause(
        text="it is no MailFrom address of the resource",
        advice="add it to the domain's MailFrom addresses in Azure, or take it out of acs.senders",
    ),
    ("acs", "login_refused"): Cause(
        text="user or secret is refused: the name of the resource, the app's client secret, or the app's role on it",
        advice="resource|application|tenant must name what Azure shows; the app needs a role on the resource that may "
        "send; a secret that ran out is refused at once",
    ),
}
"""By path and reason: where a path means another thing by it (facts m365 §1.1 D and E, §1.4)."""
_AFTER_TLS: Final = frozenset({Stage.TLS, Stage.EHLO})
_CUT: Final = Cause(
    text="the other side ended the connection at TLS, perhaps for the certificate that was shown",
    advice="see the finding about the certificate; then whether something between inspects TLS",
)


def cause_of(told: Told, path: str, evidence: Evidence, classifier: Classifier) -> Cause:
    """Name the cause of a refusal on this path."""
    if path == "connector" and not told.reply.code and told.stage in _AFTER_TLS:
        return _CUT
    reason = classifier.row(path, told.stage, told.reply).reason
    if (path, reason) in _ON_PATH:
        return _ON_PATH[path, reason]
    if reason == "login_refused" or (told.stage is Stage.AUTH and reason not in _ROWS):
        return _login(path, evidence)
    found = _ROWS.get(reason) or BLOCKS.get(reason)
    if found is None:
        return Cause(text=f"refused at {told.stage.value} ({reason.replace('_', ' ')})")
    words = {"<mailbox>": evidence.mailbox, "<account>": evidence.mailbox}
    advice = found.advice
    for blank, word in words.items():
        advice = advice.replace(blank, word or blank)
    return msgspec.structs.replace(found, advice=advice)


def _login(path: str, evidence: Evidence) -> Cause:
    """535 5.7.3 tells nothing: the token's claims and the other mailboxes tell the rest."""
    claims = evidence.claims
    if path in ("acs", "smarthost"):
        return Cause(
            text="user or password is refused", advice="look at both, and at the part of the user's name before it"
        )
    if claims is not None:
        wrong = _claims_wrong(claims, evidence)
        if wrong is not None:
            return wrong
    if evidence.others_work:
        return Cause(
            text="only this mailbox is refused: it does not exist, or the app was not given it",
            advice=f"look at the spelling; put {evidence.mailbox} into the group m365-relay-mailboxes (up to an hour)",
        )
    if claims is not None and SMTP_ROLE in claims.roles:
        return Cause(
            text="the app has the permission in Entra, but no mailbox: with it each mailbox must be granted one by one",
            advice="better: take the permission away and assign 'Application SMTP.SendAsApp' on a group; or "
            "Add-MailboxPermission for the service principal",
        )
    return Cause(
        text="no mailbox of this app is let in: the role is not assigned, younger than an hour, or the service "
        "principal was made with the object id of the app registration",
        advice="Get-ServicePrincipal: its ObjectId must be that of the enterprise application; then "
        "Test-ServicePrincipalAuthorization",
    )


def _claims_wrong(claims: Claims, evidence: Evidence) -> Cause | None:
    if evidence.scope and not audience_fits(claims, evidence.scope):
        return Cause(
            text=f"the token is for {claims.audience or 'nothing known'}, not for what was asked",
            advice="look at cloud.scope: it must be the one of this cloud's Exchange",
        )
    if "graph." in claims.audience and "graph." in evidence.scope:
        return Cause(
            text="the token is for Graph: Exchange's SMTP does not take it",
            advice="set cloud.scope to https://outlook.office365.com/.default (or this cloud's)",
        )
    guid = evidence.tenant_id.count("-") == 4  # noqa: PLR2004 - 8-4-4-4-12
    if guid and claims.tenant and claims.tenant.lower() != evidence.tenant_id.lower():
        return Cause(text="the token is of another tenant", advice="look at the tenant's id")
    return None
