"""From the settings to what the back door needs: endpoints with their TLS and login, and the rules of reports.

Reads settings and certificates' places, opens nothing. Secrets stay references until a login needs them.
"""

import ssl
from collections.abc import Callable
from ipaddress import ip_address

from node.delivery.endpoint import AuthKind, Endpoint, Timings, TlsMode
from node.delivery.reporter import Reporting
from node.errors import ConfigurationError
from node.policy.route import Way
from node.settings.base import SecretRef
from node.settings.clouds import cloud_of
from node.settings.mail import ServiceAccount, SmartHost, Tenant
from node.settings.model import Settings
from node.settings.secrets import read_secret
from node.settings.ways import account_scope, smarthost_scope
from node.tls.client import client_context

SUBMISSION_PORT = 587


def endpoints_of(settings: Settings, hostname: str, timings: Timings | None = None) -> dict[str, Endpoint]:
    """Build every way's endpoint, by way name. Raises ConfigurationError."""
    habits = timings or Timings()
    context = client_context(settings.egress.ca)
    source = str(settings.egress.source_address or "")
    found: list[Endpoint] = []
    for name, tenant in settings.tenants.items():
        for mailbox, account in tenant.service_accounts.items():
            found.append(_submission(name, tenant, mailbox, account, context, hostname, source, habits))
        if tenant.smarthost is not None:
            found.append(_smarthost(name, tenant.smarthost, context, hostname, source, habits))
    endpoints = {endpoint.way: endpoint for endpoint in found}
    checked(endpoints)
    return endpoints


def _submission(
    name: str,
    tenant: Tenant,
    mailbox: str,
    account: ServiceAccount,
    context: ssl.SSLContext,
    hostname: str,
    source: str,
    timings: Timings,
) -> Endpoint:
    """Exchange Online's submission host: STARTTLS always, the name always verified, XOAUTH2 only."""
    host, port = _host_and_port(cloud_of(tenant).submission)
    scope = account_scope(name, mailbox)
    return Endpoint(
        way=Way(path="submission", tenant=name, account=scope).name,
        path="submission",
        account=scope,
        tenant=name,
        host=host,
        port=port,
        tls=TlsMode.STARTTLS,
        context=context,
        auth=AuthKind.XOAUTH2,
        user=mailbox,
        # One session stays free for those of a vanished host (coordination-review §4); the slots decide besides.
        connections=max(1, account.limits.sessions - 1),
        slotted=True,
        metered=True,
        helo=hostname,
        source_address=source,
        timings=timings,
    )


def _smarthost(
    name: str, host: SmartHost, context: ssl.SSLContext, hostname: str, source: str, timings: Timings
) -> Endpoint:
    scope = smarthost_scope(name)
    return Endpoint(
        way=Way(path="smarthost", tenant=name, account=scope).name,
        path="smarthost",
        account=scope,
        tenant=name,
        host=host.host,
        port=host.port,
        tls=TlsMode(host.tls),
        context=None if host.tls == "none" else context,
        auth=AuthKind.PASSWORD if host.user and host.password else AuthKind.NONE,
        user=host.user or "",
        password=_reader(host.password) if host.password else None,
        connections=host.connections,
        metered=host.rate is not None,
        helo=hostname,
        source_address=source,
        timings=timings,
    )


def _reader(ref: SecretRef) -> Callable[[], str]:
    return lambda: read_secret(ref).reveal()


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        return text, SUBMISSION_PORT
    try:
        return str(ip_address(host.strip("[]"))), int(port)
    except ValueError:
        return host, int(port)


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
