"""Checks of the ways out beside the service accounts: connector, direct send, HVE, ACS and smart host."""

from ipaddress import ip_address

from node.errors import ConfigurationError
from node.settings.certificates import client_findings
from node.settings.checks.clients import owned
from node.settings.checks.scene import Scene
from node.settings.mail import Tenant, mailboxes_read
from node.settings.nets import host_and_port
from node.settings.pathways import Acs, ConnectorProbe, Hve, PathKind, SmartHost
from node.settings.places import KeyPath
from node.settings.secrets import read_secret

PROBE_EVERY_MIN_S = 60.0
SAMPLE_EVERY_MIN_S = 300.0
MX_PORT, SUBMISSION_PORT = 25, 587
_HVE_HOST = Hve.model_fields["host"].default


def hosts(scene: Scene) -> None:
    """Hosts have the form host or host:port."""
    for name, tenant in scene.settings.tenants.items():
        for key, part in (
            ("connector", tenant.connector),
            ("direct_send", tenant.direct_send),
            ("hve", tenant.hve),
            ("acs", tenant.acs),
        ):
            if part is not None and part.host is not None:
                place_fault(scene, ("tenants", name, key, "host"), part.host)


def place_fault(scene: Scene, path: KeyPath, text: str) -> None:
    """Refuse what is neither a host nor a host with its port."""
    try:
        host_and_port(text, SUBMISSION_PORT)
    except ValueError as error:
        scene.fault(path, str(error))


def connectors(scene: Scene) -> None:
    """A connector's certificate can be recognised by the tenant, and its probe asks for somebody outside."""
    for name, tenant in scene.settings.tenants.items():
        connector, here = tenant.connector, ("tenants", name, "connector")
        if connector is None:
            continue
        if scene.here and connector.certificate is not None:
            _certificate(scene, here, tenant)
        if connector.probe is None:
            continue
        if PathKind.CONNECTOR not in scene.settings.routes.kinds:
            scene.warn((*here, "probe"), "has no effect: no route names connector")
        if owned(scene, connector.probe.to.rpartition("@")[2]):
            scene.fault((*here, "probe", "to"), "its domain is a tenant's own; only an address outside shows a fault")
        if connector.probe.every < PROBE_EVERY_MIN_S:
            scene.fault((*here, "probe", "every"), "expected at least 1m between two looks")
        _sampled(scene, (*here, "probe"), tenant, connector.probe)


def _sampled(scene: Scene, here: KeyPath, tenant: Tenant, probe: ConnectorProbe) -> None:
    """A sample's mailbox is one of the tenant's that is read; else nobody could look how it arrives."""
    if probe.mailbox is None:
        return
    if probe.mailbox_every < SAMPLE_EVERY_MIN_S:
        scene.fault((*here, "mailbox_every"), "expected at least 5m: every message stays in the mailbox")
    read = mailboxes_read(tenant)
    if probe.mailbox.lower() not in read:
        names = ", ".join(sorted(read)) or "none"
        scene.fault((*here, "mailbox"), f"this mailbox is not read (tenants.*.ndrs); those that are: {names}")


def _certificate(scene: Scene, here: KeyPath, tenant: Tenant) -> None:
    assert tenant.connector is not None  # noqa: S101 - asked before
    assert tenant.connector.certificate is not None  # noqa: S101 - as above
    try:
        pem = read_secret(tenant.connector.certificate, scene.environment)
    except ConfigurationError:
        return  # the check of secrets names it
    for warning in client_findings(pem.reveal(), tenant.domains):
        scene.warn((*here, "certificate"), warning)


def hve(scene: Scene) -> None:
    """HVE accounts are accounts of their own, log in with the tenant's app, and serve known plans."""
    for name, tenant in scene.settings.tenants.items():
        if tenant.hve is None:
            continue
        here: KeyPath = ("tenants", name, "hve")
        if tenant.app is None:
            scene.fault(here, "its accounts log in with the tenant's app, and there is none")
        if tenant.hve.host == _HVE_HOST and tenant.cloud not in ("worldwide", "gcc"):
            scene.warn((*here, "host"), f"{_HVE_HOST} is of the worldwide cloud; this tenant is in another")
        for address, account in tenant.hve.accounts.items():
            at: KeyPath = (*here, "accounts", address)
            if any(address in other.service_accounts for other in scene.settings.tenants.values()):
                scene.fault(at, "this address is a service account already; an HVE account is no mailbox")
            for index, plan in enumerate(account.only):
                scene.unknown_plan((*at, "only", index), plan)


def acs(scene: Scene) -> None:
    """ACS has a user name, a password and senders of the tenant."""
    for name, tenant in scene.settings.tenants.items():
        if tenant.acs is None:
            continue
        here: KeyPath = ("tenants", name, "acs")
        _acs_login(scene, here, tenant.acs, tenant)
        for index, sender in enumerate(tenant.acs.senders):
            domain = sender.rpartition("@")[2]
            if "*" not in domain and not owned(scene, domain):
                scene.warn((*here, "senders", index), f"no tenant owns {domain}")


def _acs_login(scene: Scene, here: KeyPath, part: Acs, tenant: Tenant) -> None:
    if (part.resource is None) == (part.user is None):
        scene.fault(here, "give either resource or user")
    if part.secret is None and (tenant.app is None or tenant.app.secret is None):
        scene.fault((*here, "secret"), "the tenant's app has no secret that could be the password")
    if part.resource is not None and part.client_id is None and tenant.app is None:
        scene.fault((*here, "client_id"), "the user name names an application, and the tenant has no app")


def smarthosts(scene: Scene) -> None:
    """A smart host without TLS is on this machine, and its login is complete."""
    for name, tenant in scene.settings.tenants.items():
        host = tenant.smarthost
        if host is None:
            continue
        here: KeyPath = ("tenants", name, "smarthost")
        if host.tls == "none" and not is_loopback(host.host):
            scene.fault((*here, "tls"), f"none is possible only towards this machine itself, not towards {host.host}")
        _login(scene, here, host)


def _login(scene: Scene, here: KeyPath, host: SmartHost) -> None:
    if (host.user is None) != (host.password is None):
        scene.fault(here, "give user and password, or neither")
    if not host.host or (any(sign in host.host for sign in "/:@ ") and not is_address(host.host)):
        scene.fault((*here, "host"), "expected a host name or address; the port has its own key")


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


CHECKS = (hosts, connectors, hve, acs, smarthosts)
