"""Steps for what comes back: the return path's plus addresses and where its mail goes; domains and their records."""

from node.policy.return_path import PATHS
from node.setup.needs import Needs
from node.setup.section import Section, Where, listed, quoted


def domains(needs: Needs) -> Section:
    """Give the step about accepted domains."""
    owned = needs.tenant.domains
    return Section(
        title="Compare the accepted domains",
        where=Where.EXCHANGE,
        why="They decide which recipients are inside, which senders are the tenant's, and what a connector's "
        f"certificate must bear. The configuration says: {', '.join(owned)}.",
        commands=(
            "Connect-ExchangeOnline",
            "Get-AcceptedDomain | Format-Table DomainName,DomainType",
            f"Compare-Object (Get-AcceptedDomain).DomainName {listed(owned)}    # must print nothing",
            "Get-DkimSigningConfig | Format-Table Domain,Enabled",
        ),
    )


def coming_back(needs: Needs) -> list[Section]:
    """Give the steps about reports."""
    keyed = bool({kind.value for kind in needs.kinds} & PATHS)
    found: list[Section] = []
    if needs.return_path and keyed:
        found += [_plus(needs), _return(needs)]
    if needs.reads:
        found.append(_reading(needs))
    return found


def _plus(needs: Needs) -> Section:
    local, _, domain = needs.return_path.partition("@")
    return Section(
        title="See that plus addressing is on",
        where=Where.EXCHANGE,
        why=f"Mail leaves with {local}+<key>@{domain} as its envelope sender, and reports go to that address.",
        commands=("Get-OrganizationConfig | Format-List DisablePlusAddressInRecipients    # must be False",),
    )


def _return(needs: Needs) -> Section:
    ndrs = needs.tenant.ndrs
    read = ndrs is not None and needs.return_path in ndrs.mailboxes
    where = (
        "The relay reads them there."
        if read
        else "Name it under tenants.*.ndrs.mailboxes so that it is read, or lead its mail to the relay by an outbound "
        "connector and a mail-flow rule, and name Microsoft's addresses under bounces.accept_from."
    )
    return Section(
        title="Give the return path a mailbox",
        where=Where.EXCHANGE,
        why=f"A shared mailbox, so that reports to {needs.return_path} have a place. {where}",
        commands=(f"New-Mailbox -Shared -Name 'Relay bounces' -PrimarySmtpAddress {quoted(needs.return_path)}",),
    )


def _reading(needs: Needs) -> Section:
    ndrs = needs.tenant.ndrs
    extra = [one for one in (ndrs.mailboxes if ndrs is not None else ()) if one not in needs.tenant.service_accounts]
    return Section(
        title="See that reports have a mailbox to go to",
        where=Where.EXCHANGE,
        why="By submission a report goes to the mailbox of the From address, if there is one, or to the login's; which "
        "of them no source settles, so both are read. A From without a mailbox loses its reports: make it an alias of "
        "a service mailbox, or a shared mailbox in the group.",
        commands=tuple(f"Get-EXOMailbox -Identity {quoted(one)} | Format-Table PrimarySmtpAddress" for one in extra),
    )
