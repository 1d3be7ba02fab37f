"""The cluster for people: what ``relayctl status`` shows of it, and what is wrong with it.

Put together from two processes of this host, each asked on its own socket: the node (what it and the other nodes say)
and the coordinator (addresses, who is there). Either may be silent; the page says so and shows the rest.
"""

from typing import Any, Final

from node.cli.common import console, show, styled
from node.cli.remote import COORDINATOR_SOCKET, Remote
from node.cli.upgrade import span
from node.errors import RelayError
from node.settings.when import show_ms, show_span

MIB: Final = 1 << 20


def whole(remote: Remote) -> dict[str, Any]:
    """Give the node's status with ``cluster`` and ``coordinator`` in it; None for a single node, or for no answer."""
    seen: dict[str, Any] = remote.get("/v1/status")
    seen["cluster"], seen["coordinator"] = remote.get("/v1/cluster"), None
    if seen["cluster"] is not None:
        seen["coordinator"] = coordinator_of(remote)
    return seen


def coordinator_of(remote: Remote) -> dict[str, Any] | None:
    """Ask this host's coordinator; None when it does not answer."""
    try:
        found = remote.beside(COORDINATOR_SOCKET).get("/v1/status")
    except RelayError:
        return None
    return found if isinstance(found, dict) else None


def troubles_of(seen: dict[str, Any]) -> list[str]:
    """Say what somebody should look at, one line each."""
    cluster, coordinator = seen["cluster"], seen["coordinator"]
    if cluster is None:
        return []
    found = [*_session_troubles(cluster), *_store_troubles(cluster), *_node_troubles(cluster)]
    found += [f"control/{name} is ignored: {why}" for name, why in cluster["ignored"].items()]
    if coordinator is None:
        return [*found, "this host's coordinator does not answer"]
    if coordinator["session"]["phase"] != "live":
        found.append(f"the coordinator has no session: {coordinator['session']['refused'] or 'etcd is out of reach'}")
    for address in coordinator["addresses"]:
        if address["holder"] is None:
            found.append(f"nobody holds {address['name']} ({address['address']})")
        if address["conflict_ms"]:
            found.append(f"somebody else answers for {address['name']} ({address['address']})")
    return found


def _session_troubles(cluster: dict[str, Any]) -> list[str]:
    if cluster["blocked_by"]:
        return [f"another process has this node's name: {cluster['blocked_by']}"]
    if cluster["refused"]:
        return [f"etcd is not trusted: {cluster['refused']}"]
    return [] if cluster["phase"] == "live" else ["this node has no session in the cluster"]


def _store_troubles(cluster: dict[str, Any]) -> list[str]:
    found = [f"etcd {each['endpoint']} does not answer" for each in cluster["etcd"] if not each["healthy"]]
    found += [f"etcd {each['endpoint']}: alarm {alarm}" for each in cluster["etcd"] for alarm in each["alarms"]]
    return found if cluster["leader"] else [*found, "the cluster has no leader"]


def _node_troubles(cluster: dict[str, Any]) -> list[str]:
    found = []
    dead = {wish["what"] for wish in cluster["wishes"] if wish["kind"] == "dead"}
    for node in cluster["nodes"]:
        name = node["node"]
        if name in dead and node["member"]:
            found.append(f"node {name} is declared dead, but is there: relayctl disaster declare-dead {name} --undo")
        found += [f"node {name} {trouble}" for trouble in [_absence(node)] if trouble]
        if node["drift"]:
            found.append(f"node {name} has another configuration")
        if node["lasting"]:
            found.append(f"node {name}: {node['lasting']} messages stay on its machine alone")
        if node["clock"] == "outlier":
            found.append(f"the clock of node {name} is {-node['offset_ms']} ms off: it reserves no budget of a day")
        elif node["clock"] == "no_majority":
            found.append(f"node {name} cannot tell whether its clock is right")
    return found


def _absence(node: dict[str, Any]) -> str:
    """Say in which way a node does not do its part; empty: it does."""
    if node["quarantined"]:
        return f"does not use its spool: {node['quarantined']}"
    if not node["member"]:
        return "is not in the cluster"
    if not node["answered"]:
        return f"does not answer: {node['error']}"
    return "" if node["ready"] else f"is not ready: {'; '.join(node['reasons'])}"


def show_cluster(cluster: dict[str, Any], coordinator: dict[str, Any] | None) -> None:
    """Print the page of the cluster."""
    margin = f"{cluster['margin_ms'] / 1000:.1f} of {cluster['ttl_ms'] / 1000:.0f} s"
    leader = cluster["leader"] or "nobody"
    console.print()
    console.print(
        f"cluster {styled(cluster['name'], 'bold')}, leader {styled(leader)}, "
        f"session {styled(cluster['phase'])}, margin {margin}"
    )
    _wishes(cluster["wishes"])
    _nodes(cluster["nodes"], coordinator)
    if coordinator is not None and coordinator["addresses"]:
        console.print()
        show_addresses(coordinator["addresses"])
    console.print()
    _etcd(cluster["etcd"])


def _wishes(wishes: list[dict[str, Any]]) -> None:
    for wish in wishes:
        until = f" until {show_ms(wish['until_ms'])[:19]} UTC" if wish["until_ms"] else ""
        about = " ".join(part for part in (wish["kind"], wish["what"], wish["to"] and f"to {wish['to']}") if part)
        loud = {"pause": "PAUSED: no takeover, no adoption", "dead": f"DECLARED DEAD: {wish['what']}"}
        style, label = ("bold white on red" if wish["kind"] in loud else "yellow"), loud.get(wish["kind"], about)
        console.print(f"{styled(label, style)}{styled(until)}, by {styled(wish['actor'])}: {styled(wish['reason'])}")


def _nodes(nodes: list[dict[str, Any]], coordinator: dict[str, Any] | None) -> None:
    there = {each["node"] for each in coordinator["members"] if each["role"] == "coordinator"} if coordinator else None
    rows = []
    for node in nodes:
        state = ("ready" if node["ready"] else "not ready") if node["answered"] else "silent"
        beside = "?" if there is None else ("there" if node["node"] in there else "absent")
        known = node["answered"]
        rows.append(
            (
                node["node"],
                node["site"],
                state if node["member"] else f"{state}, no session",
                f"{node['margin_ms'] / 1000:.1f} s" if known else "",
                beside,
                f"{node['clock']} {node['offset_ms']:+d} ms" if known else "",
                (node["shadow"] or f"nowhere: {node['alone']}") if known else "",
                (node["unprotected"] or "") if known else "",
                node["configuration"][:12] + (" (differs)" if node["drift"] else ""),
                f"{node['version']} (level {span(node['levels'])})" if node["version"] else "",
            )
        )
    columns = (
        "node",
        "site",
        "state",
        "margin",
        "coordinator",
        "clock",
        "copies at",
        "unprotected",
        "configuration",
        "version",
    )
    show(rows, columns, empty="no nodes")


def show_addresses(addresses: list[dict[str, Any]]) -> None:
    """Print the table of virtual addresses."""
    rows = [
        (
            each["name"],
            each["address"],
            each["site"],
            each["driver"],
            each["holder"] or "nobody",
            show_span(each["held_ms"] / 1000) if each["held_ms"] is not None else "",
            "yes" if each["bound"] else "",
            each["wish"],
            each["alarm"],
        )
        for each in addresses
    ]
    columns = ("address", "is", "site", "driver", "holder", "held here", "bound here", "wished to", "last alarm")
    show(rows, columns, empty="no virtual addresses")


def _etcd(members: list[dict[str, Any]]) -> None:
    rows = [
        (
            each["endpoint"],
            ("leads" if each["leads"] else "healthy") if each["healthy"] else "no answer",
            each["version"],
            each["revision"] or "",
            f"{each['db_bytes'] / MIB:.1f} MiB" if each["healthy"] else "",
            ", ".join(each["alarms"]),
        )
        for each in members
    ]
    show(rows, ("etcd", "state", "version", "revision", "size", "alarms"), empty="no etcd")
