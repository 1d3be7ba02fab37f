"""Steps for service mailboxes: SMTP AUTH for each and not for the tenant, SendAs by name, copies, sizes."""

from node.settings.mail import ServiceAccount
from node.settings.pathways import PathKind
from node.settings.units import format_size
from node.setup.needs import WILD, Needs
from node.setup.section import Section, Where, quoted


def mailboxes(needs: Needs) -> list[Section]:
    """Give the steps; none where nobody logs in as a mailbox."""
    if not needs.logs_in:
        return []
    found = [_there(needs)]
    if PathKind.SUBMISSION in needs.kinds:
        found.append(_smtp_auth(needs))
    return [*found, *_send_as(needs), *_copies(needs)]


def _there(needs: Needs) -> Section:
    return Section(
        title="See that the service mailboxes are there",
        where=Where.EXCHANGE,
        why="One mailbox sends at most 30 messages a minute and 10,000 recipients a day, so several share the work. "
        "Each needs a licence: unlicensed shared mailboxes have been seen to refuse SMTP.",
        commands=tuple(_limits(mailbox, account) for mailbox, account in needs.tenant.service_accounts.items()),
    )


def _limits(mailbox: str, account: ServiceAccount) -> str:
    size = f"{account.limits.size >> 20}MB" if account.limits.size >> 20 else format_size(account.limits.size)
    return (
        f"Set-Mailbox -Identity {quoted(mailbox)} -MaxSendSize {size} "
        f"-RecipientLimits {account.limits.recipients_per_message}"
    )


def _smtp_auth(needs: Needs) -> Section:
    accounts = needs.tenant.service_accounts
    basic = [mailbox for mailbox, account in accounts.items() if account.password is not None]
    policy = tuple(
        f"Set-User -Identity {quoted(mailbox)} -AuthenticationPolicy 'm365-relay-basic'" for mailbox in basic
    )
    return Section(
        title="Switch SMTP AUTH on for these mailboxes",
        where=Where.EXCHANGE,
        why="The tenant's own switch stays off; a mailbox's wins over it. Tokens need it too."
        + (
            " Passwords end when Microsoft removes Basic authentication; those of the list need a policy."
            if basic
            else ""
        ),
        commands=(
            "Get-TransportConfig | Format-List SmtpClientAuthenticationDisabled    # may stay True",
            *(f"Set-CASMailbox -Identity {quoted(one)} -SmtpClientAuthenticationDisabled $false" for one in accounts),
            *(("New-AuthenticationPolicy -Name 'm365-relay-basic' -AllowBasicAuthSmtp",) if basic else ()),
            *policy,
        ),
    )


def _send_as(needs: Needs) -> list[Section]:
    commands = []
    for mailbox in needs.tenant.service_accounts:
        commands += [
            f"Add-RecipientPermission -Identity {quoted(sender)} -Trustee {quoted(mailbox)} -AccessRights SendAs "
            "-Confirm:$false"
            for sender in needs.sends_as(mailbox)
        ]
    wild = sorted(
        {pattern for one in needs.tenant.service_accounts.values() for pattern in one.send_as if WILD in pattern}
    )
    if not commands and not wild:
        return []
    steps = []
    if wild:
        steps.append(
            f"send_as names {', '.join(wild)}: Exchange has no such right. Whatever is sent from must be listed above; "
            "a client that sends from another address of these gets 5.7.60, and `relayctl m365 check` names it."
        )
    if needs.patterns:
        steps.append(
            f"Clients may send from {', '.join(needs.patterns)}; the addresses they really use are not known here."
        )
    return [
        Section(
            title="Let them send as the addresses that are used",
            where=Where.EXCHANGE,
            why="The right belongs to the mailbox that logs in. Microsoft advises against one mailbox that may send as "
            "everybody, and so does the threat model: name addresses.",
            commands=tuple(commands),
            steps=tuple(steps),
        )
    ]


def _copies(needs: Needs) -> list[Section]:
    without = [mailbox for mailbox, account in needs.tenant.service_accounts.items() if not account.sent_items]
    if not without:
        return []
    return [
        Section(
            title="Leave no copies in Sent Items",
            where=Where.EXCHANGE,
            why="Copies fill the mailbox until sending stops. Where they stay on (for mail that is looked for after a "
            "lost answer), give the mailbox a retention tag instead.",
            commands=tuple(
                f"Set-Mailbox -Identity {quoted(mailbox)} -MessageCopyForSMTPClientSubmissionEnabled $false"
                for mailbox in without
            ),
        )
    ]
