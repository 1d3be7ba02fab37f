"""Checks of listeners, ports, limits, the cluster and its addresses."""

from collections.abc import Iterator, Mapping
from typing import Final

from coordinator.settings.checks import bound, check_addresses, check_cluster
from coordinator.settings.reader import no_such_node
from node.settings.checks.paths import is_loopback, url_fault
from node.settings.checks.scene import Scene
from node.settings.host import CALLBACK, Listener, Oidc, VirtualAddress
from node.settings.model import Settings
from node.settings.places import KeyPath

SIGN_IN_MAX_S: Final = 43_200.0
EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not bound
LATE_S: Final = 7 * 86_400.0
"""A report of a bounce is matched so long after delivery (``node.truth.contract.WINDOW_MS``)."""


def listeners(scene: Scene) -> None:
    """Each listener is safe to open: legacy only for named networks, logins only under TLS."""
    settings = scene.settings
    if not settings.listeners:
        scene.fault(("listeners",), "at least one listener is needed")
    for name, one in settings.listeners.items():
        here: KeyPath = ("listeners", name)
        if one.profile == "legacy" and not one.networks:
            scene.fault(here, "a legacy listener needs networks: it takes passwords in clear and old TLS")
        if one.profile == "standard" and one.tls == "none" and one.auth == "required":
            scene.fault((*here, "auth"), "a login needs TLS; only a legacy listener takes passwords in clear")
        if one.profile == "standard" and one.line_endings == "normalise":
            scene.fault((*here, "line_endings"), "normalise is for legacy listeners only")
        if one.tls == "none" and (one.certificate or one.sni):
            scene.warn((*here, "tls"), "none: the certificate given is never used")
        if one.client_ca is not None and one.tls == "none":
            scene.fault((*here, "client_ca"), "client certificates need TLS")


def certificates(scene: Scene) -> None:
    """Say where a certificate of our own making will be shown."""
    bare = [name for name, one in scene.settings.listeners.items() if one.tls != "none" and not one.certificate]
    if bare and scene.settings.tls is None:
        scene.warn((), f"no certificate for {', '.join(bare)}: a self-signed one is used, which clients cannot verify")


def ports(scene: Scene) -> None:
    """No two parts open the same port; 0 lets the system choose."""
    taken: list[tuple[str, int, str]] = []
    for path, port, address in _opened(scene):
        name = ".".join(map(str, path[:-1]))
        clash = next((old for old in taken if port and old[1] == port and {old[2], address} & {"", old[2]}), None)
        if clash is not None and (clash[2] == address or not clash[2] or not address):
            scene.fault(path, f"port {port} is opened by {clash[0]} already")
        taken.append((name, port, address))


def _opened(scene: Scene) -> Iterator[tuple[KeyPath, int, str]]:
    settings = scene.settings
    for name, one in settings.listeners.items():
        yield ("listeners", name, "port"), one.port, _bound(one)
    yield ("admin", "port"), settings.admin.port, str(settings.admin.address)
    if settings.telemetry.prometheus is not None:
        yield ("telemetry", "prometheus"), settings.telemetry.prometheus, ""
    if settings.cluster is not None:
        known = scene.node in settings.cluster.nodes
        address = settings.cluster.bound(scene.node) if known else ""
        address = "" if address in EVERYWHERE else address
        yield ("cluster", "ports", "node"), settings.cluster.ports.node, address
        yield ("cluster", "ports", "coordinator"), settings.cluster.ports.coordinator, address
    yield from _probes(settings.virtual_addresses)


def _probes(addresses: Mapping[str, VirtualAddress]) -> Iterator[tuple[KeyPath, int, str]]:
    """Give each probe's port once: several addresses may share it, and clashes among them are told elsewhere."""
    seen: set[int] = set()
    for name, one in addresses.items():
        if one.driver == "probe" and one.probe is not None and one.probe.port not in seen:
            seen.add(one.probe.port)
            yield ("virtual_addresses", name, "probe", "port"), one.probe.port, bound(one.probe)


def _bound(one: Listener) -> str:
    """Give the bound address; empty for every address."""
    return "" if one.address is None or one.address.is_unspecified else str(one.address)


def limits(scene: Scene) -> None:
    """Bounds fit one another."""
    one = scene.settings.limits
    if one.disk_free_low >= one.disk_free_high:
        scene.fault(("limits", "disk_free_high"), "must be above disk_free_low, or the door would flap")
    if one.sessions_per_address > one.sessions:
        scene.warn(("limits", "sessions_per_address"), f"is above limits.sessions ({one.sessions}), so without effect")
    for key in ("idle", "data_idle", "session"):
        if getattr(one, key) < 1:
            scene.fault(("limits", key), "expected at least 1s")
    if one.size < 1 << 10:
        scene.fault(("limits", "size"), "expected at least 1KiB")
    if one.memory < 1 << 20:
        scene.fault(("limits", "memory"), "expected at least 1MiB")
    if scene.settings.stop_timeout <= 0:
        scene.fault(("stop_timeout",), "expected a time above zero")
    if (scene.settings.stop_notice or 0) > scene.settings.stop_timeout / 3:
        scene.fault(("stop_notice",), "must be at most a third of stop_timeout, or sessions had no time to end")
    if scene.settings.history.keep <= 0:
        scene.fault(("history", "keep"), "expected a time above zero")
    history_hashed(scene)


def history_hashed(scene: Scene) -> None:
    """Keyed hashes have one key on all nodes, or a search would find on each only what that one hashed."""
    settings, history = scene.settings, scene.settings.history
    if history.addresses == "full":
        for key in ("key", "hash_after"):
            if key in history.model_fields_set:
                scene.warn(("history", key), "has no effect with history.addresses: full")
        return
    if history.key is None and settings.cluster is not None:
        scene.fault(("history", "addresses"), "in a cluster hashes need history.key, the same secret on every node")
    if history.hash_after < LATE_S and _read_late(settings):
        scene.warn(("history", "hash_after"), "reports of bounces that come later than this will match nothing")


def _read_late(settings: Settings) -> bool:
    return settings.bounces.return_path is not None or any(each.ndrs for each in settings.tenants.values())


def outward(scene: Scene) -> None:
    """Addresses we call are URLs, and nothing secret goes to them in clear."""
    settings = scene.settings
    if settings.telemetry.otlp is not None:
        url_fault(scene, ("telemetry", "otlp"), settings.telemetry.otlp)
    if settings.alarms is not None:
        url_fault(scene, ("alarms", "webhook"), settings.alarms.webhook)
    if settings.admin.oidc is not None:
        oidc(scene, settings.admin.oidc)
    proxy = settings.egress.https_proxy
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        scene.fault(("egress", "https_proxy"), "expected a URL such as http://proxy.example:3128")
    encrypted = settings.admin.certificate is not None or settings.tls is not None
    if not encrypted and not is_loopback(str(settings.admin.address)):
        scene.fault(("admin", "address"), "beyond this machine the admin port needs a certificate (admin or tls)")


def oidc(scene: Scene, one: Oidc) -> None:
    """Somebody may sign in, for a bounded time, and comes back to an address of ours."""
    here: KeyPath = ("admin", "oidc")
    url_fault(scene, (*here, "issuer"), one.issuer)
    if not one.roles:
        scene.fault((*here, "roles"), "expected groups or roles of the provider with a role here; nobody could sign in")
    if not 60 <= one.lasts <= SIGN_IN_MAX_S:  # noqa: PLR2004 - a minute
        scene.fault((*here, "lasts"), "expected 1m to 12h")
    if "openid" not in one.scopes:
        scene.fault((*here, "scopes"), "expected openid among them, or it is no sign-in")
    if one.redirect is not None:
        url_fault(scene, (*here, "redirect"), one.redirect)
        if not one.redirect.endswith(CALLBACK):
            scene.fault((*here, "redirect"), f"expected an address that ends with {CALLBACK}")


def cluster(scene: Scene) -> None:
    """The node this is must be one of the cluster's, and what both processes check holds."""
    one = scene.settings.cluster
    if one is None:
        if scene.node_told and scene.here:
            scene.warn((), f"there is no cluster; the name {scene.node} only shows in logs")
        return
    stranger = no_such_node(one, scene.node, told=scene.node_told)
    if stranger and (scene.here or scene.node_told):
        scene.fault(("cluster", "nodes"), stranger)
    check_cluster(scene, one)


def virtual_addresses(scene: Scene) -> None:
    """Each virtual address has a holder that can carry it."""
    check_addresses(scene, scene.settings.cluster, scene.settings.virtual_addresses)


CHECKS = (listeners, certificates, ports, limits, outward, cluster, virtual_addresses)
