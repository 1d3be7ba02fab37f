"""Steps for the ways that are no mailbox: connector, direct send, High Volume Email, Communication Services."""

from ipaddress import ip_address, ip_network

from node.settings.pathways import PathKind
from node.setup.needs import Needs
from node.setup.section import Section, Where, listed, quoted

NAME = "m365-relay"
_EGRESS = "<PUBLIC IPv4 ADDRESSES THE NODES LEAVE BY>"


def pathways(needs: Needs) -> list[Section]:
    """Give the steps of every such way that is configured and named by a route."""
    found: list[Section] = []
    if PathKind.CONNECTOR in needs.kinds and needs.tenant.connector is not None:
        found.append(_connector(needs))
    if PathKind.DIRECT_SEND in needs.kinds:
        found.append(_DIRECT)
    if PathKind.HVE in needs.kinds and needs.tenant.hve is not None:
        found.append(_hve(needs))
    if PathKind.ACS in needs.kinds and needs.tenant.acs is not None:
        found.append(_acs(needs))
    return found


def _connector(needs: Needs) -> Section:
    connector = needs.tenant.connector
    common = f"New-InboundConnector -Name {quoted(NAME)} -ConnectorType OnPremises -SenderDomains '*' -RequireTls $true"
    if connector is not None and connector.certificate is not None:
        domain = needs.tenant.domains[0]
        return Section(
            title="Make the inbound connector, matched by certificate",
            where=Where.EXCHANGE,
            why="No 30 messages a minute, no Sent Items, any address of an accepted domain. The certificate must come "
            f"from a public authority and bear a name in an accepted domain, such as *.{domain} or relay.{domain}; one "
            "certificate for one tenant. Its key sends as anybody of the tenant: keep it as an encrypted credential.",
            commands=(f"{common} -TlsSenderCertificateName {quoted(f'*.{domain}')}",),
            steps=("Put the certificate's own name in place of the one above if it is another.",),
        )
    return Section(
        title="Make the inbound connector, matched by address",
        where=Where.EXCHANGE,
        why="Static public IPv4 addresses nobody else leaves by; no IPv6. An address shared with others would let them "
        "send as the tenant. Bounces with the null sender to outside need the certificate kind.",
        commands=(f"{common} -SenderIPAddresses {_addresses(needs)}",),
        steps=_address_steps(needs),
    )


def _public(needs: Needs) -> list[str]:
    wanted = [needs.source] if needs.source else list(needs.nodes)
    return [text for text in wanted if ip_address(text).version == 4 and ip_address(text).is_global]  # noqa: PLR2004


def _addresses(needs: Needs) -> str:
    public = _public(needs)
    return listed(str(ip_network(text)).removesuffix("/32") for text in public) if public else _EGRESS


def _address_steps(needs: Needs) -> tuple[str, ...]:
    if _public(needs):
        return ()
    inside = f" ({', '.join(needs.nodes)} are private)" if needs.nodes else ""
    return (
        (
            f"Put in the addresses the nodes show to the Internet{inside}, every node's and every way out: a node that "
            "leaves by another one falls back to direct send, which fails for recipients outside."
        ),
    )


_DIRECT = Section(
    title="Check that direct send is allowed",
    where=Where.EXCHANGE,
    why="Mail to the tenant's own mailboxes without connector or login. Many tenants refuse it, and rightly: anybody "
    "may send so. A connector is better.",
    commands=("Get-OrganizationConfig | Format-List RejectDirectSend    # must be False for this path",),
)


def _hve(needs: Needs) -> Section:
    hve = needs.tenant.hve
    accounts = list(hve.accounts) if hve is not None else []
    app = needs.tenant.app
    commands = [
        f"New-MailUser -HVEAccount -Name {quoted(one.partition('@')[0])} -PrimarySmtpAddress {quoted(one)}"
        for one in accounts
    ]
    if app is not None:
        commands += [
            f"Add-HVEAppAccess -Identity {quoted(one)} -AppId <OBJECT ID OF THE ENTERPRISE APPLICATION>"
            for one in accounts
        ]
    return Section(
        title="Make the accounts for High Volume Email",
        where=Where.EXCHANGE,
        why="Recipients inside the tenant only; metered, so billing must be set up or delivery may stop. Security "
        "defaults refuse their passwords.",
        commands=tuple(commands),
    )


def _acs(needs: Needs) -> Section:
    acs = needs.tenant.acs
    resource = acs.resource or acs.user or "<RESOURCE>" if acs is not None else "<RESOURCE>"
    senders = ", ".join(acs.senders) if acs is not None else ""
    return Section(
        title="Connect the Communication Services resource",
        where=Where.AZURE,
        why="Outside the tenant: its journaling, DLP and mail-flow rules do not see this mail. Its limits are its own, "
        "30 messages a minute and 100 an hour until raised.",
        steps=(
            "Email Communication Services > Domains: verify the domain with its SPF and DKIM records.",
            f"MailFrom addresses: {senders}.",
            f"Communication Service {resource} > Email > Domains: connect that domain.",
            (
                f"Access control (IAM) of {resource}: a custom role with Microsoft.Communication/EmailServices/write "
                "and Microsoft.Communication/CommunicationServices/read for the application, and nothing more."
            ),
        ),
    )
