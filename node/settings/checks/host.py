"""Checks of listeners, ports, limits, the cluster and its addresses."""

from collections.abc import Iterator

from node.settings.checks.paths import is_loopback, url_fault
from node.settings.checks.scene import Scene
from node.settings.host import Cluster, Listener, VirtualAddress
from node.settings.places import KeyPath


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
    if scene.settings.history.keep <= 0:
        scene.fault(("history", "keep"), "expected a time above zero")


def outward(scene: Scene) -> None:
    """Addresses we call are URLs, and nothing secret goes to them in clear."""
    settings = scene.settings
    if settings.telemetry.otlp is not None:
        url_fault(scene, ("telemetry", "otlp"), settings.telemetry.otlp)
    if settings.admin.oidc is not None:
        url_fault(scene, ("admin", "oidc", "issuer"), settings.admin.oidc.issuer)
    proxy = settings.egress.https_proxy
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        scene.fault(("egress", "https_proxy"), "expected a URL such as http://proxy.example:3128")
    encrypted = settings.admin.certificate is not None or settings.tls is not None
    if not encrypted and not is_loopback(str(settings.admin.address)):
        scene.fault(("admin", "address"), "beyond this machine the admin port needs a certificate (admin or tls)")


def cluster(scene: Scene) -> None:
    """The node this is must be one of the cluster's, and no two nodes share an address."""
    one = scene.settings.cluster
    if one is None:
        if scene.node_told and scene.here:
            scene.warn((), f"there is no cluster; the name {scene.node} only shows in logs")
        return
    if scene.node not in one.nodes and (scene.here or scene.node_told):
        hint = "" if scene.node_told else " (its host name); say --node"
        scene.fault(("cluster", "nodes"), f"{scene.node}{hint} is none of the nodes: {', '.join(one.nodes)}")
    seen: dict[str, str] = {}
    for name, node in one.nodes.items():
        if (other := seen.setdefault(str(node.address), name)) != name:
            scene.fault(("cluster", "nodes", name, "address"), f"{node.address} is the address of {other} already")
    if one.copies == "required" and len(one.nodes) < 2:  # noqa: PLR2004 - a copy needs a second node
        scene.fault(("cluster", "copies"), "a second copy needs at least two nodes; nothing would be taken")


def virtual_addresses(scene: Scene) -> None:
    """Each virtual address has a holder that can carry it."""
    one = scene.settings.cluster
    seen: dict[str, str] = {}
    for name, virtual in scene.settings.virtual_addresses.items():
        here: KeyPath = ("virtual_addresses", name)
        if one is None:
            scene.fault(here, "a virtual address needs a cluster")
            continue
        if (other := seen.setdefault(str(virtual.address), name)) != name:
            scene.fault((*here, "address"), f"is the address of {other} already")
        if any(node.address == virtual.address for node in one.nodes.values()):
            scene.fault((*here, "address"), "is a node's own address; a virtual one must be free")
        _holders(scene, here, virtual, one)


def _holders(scene: Scene, here: KeyPath, virtual: VirtualAddress, one: Cluster) -> None:
    sites = {node.site for node in one.nodes.values()}
    if virtual.site is not None and virtual.site not in sites:
        scene.fault((*here, "site"), f"no node stands in {virtual.site}; sites: {', '.join(sorted(sites))}")
    for index, name in enumerate(virtual.nodes):
        if name not in one.nodes:
            scene.fault((*here, "nodes", index), f"{name} is none of the nodes: {', '.join(one.nodes)}")
    if virtual.prefer is not None and virtual.prefer not in one.nodes:
        scene.fault((*here, "prefer"), f"{virtual.prefer} is none of the nodes: {', '.join(one.nodes)}")
    elif virtual.prefer is not None and virtual.site not in {None, one.nodes[virtual.prefer].site}:
        scene.fault((*here, "prefer"), f"{virtual.prefer} does not stand in site {virtual.site}")
    if virtual.site is None and not virtual.nodes and len(sites) > 1:
        scene.warn(here, "neither site nor nodes: any site may take it, and the others cannot route to it")


CHECKS = (listeners, certificates, ports, limits, outward, cluster, virtual_addresses)
