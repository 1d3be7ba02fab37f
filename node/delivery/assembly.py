"""From the settings to what the back door needs: endpoints with their TLS and login, and the rules of reports.

Reads settings and certificates' places, opens nothing. Secrets stay references until a login needs them; only a
connector's certificate is read at once, because without it the path is another one.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from node.delivery.endpoint import AuthKind, Endpoint, Timings, TlsMode
from node.delivery.reporter import Reporting
from node.errors import ConfigurationError
from node.policy.route import Way
from node.settings.clouds import cloud_of
from node.settings.mail import Tenant
from node.settings.model import Settings
from node.settings.nets import host_and_port
from node.settings.pathways import PathKind
from node.settings.secrets import reader
from node.settings.ways import account_scope, graph_flow, path_account
from node.tls.client import ClientTls, client_context

SUBMISSION_PORT = 587
MX_PORT = 25
HTTPS_PORT = 443
GRAPH_REQUESTS = 4
"""Requests at once for one app and mailbox, all nodes together (facts m365 §1.2 F)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every way of one tenant has in common."""

    name: str
    """The tenant's."""
    settings: Tenant
    trust: Settings
    context: ssl.SSLContext
    helo: str
    source: str
    timings: Timings

    def endpoint(self, kind: PathKind, account: str, place: tuple[str, int], **more: Any) -> Endpoint:
        """Give a way's endpoint: STARTTLS with the name verified unless ``more`` says otherwise."""
        plain = Endpoint(
            way=Way(path=kind.value, tenant=self.name, account=account).name,
            path=kind.value,
            account=account,
            tenant=self.name,
            host=place[0],
            port=place[1],
            context=self.context,
            helo=self.helo,
            source_address=self.source,
            timings=self.timings,
        )
        return replace(plain, **more)


def endpoints_of(settings: Settings, hostname: str, timings: Timings | None = None) -> dict[str, Endpoint]:
    """Build the endpoint of every way some route names, by way name. Raises ConfigurationError."""
    context = client_context(settings.egress.ca)
    made: dict[str, Endpoint] = {}
    for name, tenant in settings.tenants.items():
        common = Common(
            name=name,
            settings=tenant,
            trust=settings,
            context=context,
            helo=hostname,
            source=str(settings.egress.source_address or ""),
            timings=timings or Timings(),
        )
        for kind, build in BUILDERS.items():
            if kind in settings.routes.kinds:
                made |= {endpoint.way: endpoint for endpoint in build(common)}
    checked(made)
    return made


def _submission(common: Common) -> Iterator[Endpoint]:
    """Exchange Online's submission host: XOAUTH2, or a password for accounts that have one."""
    place = host_and_port(cloud_of(common.settings).submission, SUBMISSION_PORT)
    for mailbox, account in common.settings.service_accounts.items():
        sessions = account.limits.sessions
        made = _mailbox(common, PathKind.SUBMISSION, mailbox, place, sessions=sessions, metered=True)
        if account.password is not None:
            made = replace(made, auth=AuthKind.PASSWORD, password=reader(account.password))
        yield made


def _graph(common: Common) -> Iterator[Endpoint]:
    """Microsoft Graph for the same mailboxes, within their slots and below what Graph allows one app and mailbox."""
    if common.settings.app is None:
        return
    root = cloud_of(common.settings).graph
    where = urlsplit(root)
    nodes = len(common.trust.cluster.nodes) if common.trust.cluster else 1
    most = max(1, GRAPH_REQUESTS // nodes)
    for mailbox, account in common.settings.service_accounts.items():
        place = (where.hostname or root, where.port or HTTPS_PORT)
        made = _mailbox(common, PathKind.GRAPH, mailbox, place, sessions=account.limits.sessions, metered=True)
        flow = graph_flow(common.name)
        yield replace(made, connections=min(made.connections, most), graph=root, token_flow=flow, tls=TlsMode.IMPLICIT)


def _hve(common: Common) -> Iterator[Endpoint]:
    """High Volume Email: a host of its own, tokens as for submission (with ten minutes left, see m365/tokens.py)."""
    hve = common.settings.hve
    if hve is None:
        return
    place = host_and_port(hve.host, SUBMISSION_PORT)
    for mailbox, account in hve.accounts.items():
        metered = account.rate is not None
        yield _mailbox(common, PathKind.HVE, mailbox, place, sessions=account.sessions, metered=metered)


def _mailbox(
    common: Common, kind: PathKind, mailbox: str, place: tuple[str, int], *, sessions: int, metered: bool
) -> Endpoint:
    return common.endpoint(
        kind,
        account_scope(common.name, mailbox),
        place,
        auth=AuthKind.XOAUTH2,
        user=mailbox,
        # One session stays free for those of a vanished host (coordination-review §4); the slots decide besides.
        connections=max(1, sessions - 1),
        slotted=True,
        metered=metered,
    )


def _connector(common: Common) -> Iterator[Endpoint]:
    """The tenant's MX, port 25, with the certificate the connector knows us by, if it has one."""
    part = common.settings.connector
    if part is None:
        return
    here = f"tenants.{common.name}.connector.certificate"
    shown = part.certificate and ClientTls(here, part.certificate, common.trust.egress.ca)
    yield _mx(common, PathKind.CONNECTOR, part.host, connections=part.connections, metered=bool(part.rate), shown=shown)


def _direct_send(common: Common) -> Iterator[Endpoint]:
    """The tenant's MX, port 25, as anybody: TLS is optional there, and demanded here all the same."""
    part = common.settings.direct_send
    yield _mx(common, PathKind.DIRECT_SEND, part.host, connections=part.connections, metered=bool(part.rate))


def _mx(common: Common, kind: PathKind, host: str | None, **more: Any) -> Endpoint:
    place = host_and_port(host, MX_PORT) if host else ("", MX_PORT)
    mx = "" if host else common.settings.domains[0].removeprefix("*.")
    return common.endpoint(kind, path_account(common.name, kind.value), place, mx=mx, paced=True, **more)


def _acs(common: Common) -> Iterator[Endpoint]:
    """Azure Communication Services: the application's secret is the password, not a token (facts m365 §1.1 E)."""
    part, app = common.settings.acs, common.settings.app
    if part is None:
        return
    client = part.client_id or (app.client_id if app else "")
    secret = part.secret or (app.secret if app else None)
    yield common.endpoint(
        PathKind.ACS,
        path_account(common.name, PathKind.ACS.value),
        host_and_port(part.host, SUBMISSION_PORT),
        auth=AuthKind.PASSWORD,
        user=part.user or f"{part.resource}|{client}|{common.settings.id}",
        password=reader(secret) if secret else None,
        connections=part.connections,
        metered=True,
    )


def _smarthost(common: Common) -> Iterator[Endpoint]:
    """Another server: as the settings say."""
    host = common.settings.smarthost
    if host is None:
        return
    yield common.endpoint(
        PathKind.SMARTHOST,
        path_account(common.name, PathKind.SMARTHOST.value),
        (host.host, host.port),
        tls=TlsMode(host.tls),
        context=None if host.tls == "none" else common.context,
        auth=AuthKind.PASSWORD if host.user and host.password else AuthKind.NONE,
        user=host.user or "",
        password=reader(host.password) if host.password else None,
        connections=host.connections,
        paced=True,
        metered=host.rate is not None,
    )


BUILDERS = {
    PathKind.SUBMISSION: _submission,
    PathKind.GRAPH: _graph,
    PathKind.HVE: _hve,
    PathKind.CONNECTOR: _connector,
    PathKind.DIRECT_SEND: _direct_send,
    PathKind.ACS: _acs,
    PathKind.SMARTHOST: _smarthost,
}


def reporting_of(settings: Settings, hostname: str) -> Reporting:
    """Build the rules of reports: who signs them, which domains are ours."""
    return Reporting(
        hostname=hostname,
        senders={name: _sender(settings, tenant) for name, tenant in settings.tenants.items()},
        domains={
            name: frozenset(domain.lower() for domain in tenant.domains) for name, tenant in settings.tenants.items()
        },
        plans=settings.plans,
        fallback=settings.bounces.fallback,
    )


def _sender(settings: Settings, tenant: Tenant) -> str:
    """``bounces.from``; else the first account, which needs no right to send as itself; else the first domain."""
    if settings.bounces.sender:
        return settings.bounces.sender
    account = next(iter(tenant.service_accounts), None)
    return account or f"relay-bounces@{tenant.domains[0]}"


def checked(endpoints: dict[str, Endpoint]) -> None:
    """Refuse clear text to anything but loopback. Raises ConfigurationError naming each."""
    faults = [
        f"tenants.{endpoint.tenant}.smarthost.tls: none is for loopback only, {endpoint.host} is not"
        for endpoint in endpoints.values()
        if endpoint.tls is TlsMode.NONE and not _is_loopback(endpoint.host)
    ]
    if faults:
        raise ConfigurationError(faults)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
