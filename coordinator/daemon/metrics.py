"""The coordinator's metrics as Prometheus text (exposition format 0.0.4), made from its status page. Pure."""

from collections.abc import Iterable, Mapping

from coordinator.daemon.view import AddressView, Status


def exposition(status: Status, *, alarms: int) -> str:
    """Give every metric; ``alarms``: how often something went wrong since the start."""
    lines: list[str] = []
    _add(lines, "session_margin_seconds", "What is left until the session's deadline", status.session.margin_ms / 1e3)
    _add(lines, "session_live", "Whether the session lives", int(status.session.phase == "live"))
    _add(lines, "store_silent", "Whether the store counts as out of reach", int(status.session.silent))
    _add(lines, "leading", "Whether this coordinator does the cluster's chores", int(status.leading))
    _add(lines, "node_ready", "Whether the local node is ready", int(status.node_ready.ready))
    _add(lines, "paused", "Whether takeovers are paused", int(status.pause.paused))
    _add(lines, "members", "Living coordinators", sum(member.role == "coordinator" for member in status.members))
    _add(lines, "config_drift", "Living processes with another configuration", len(status.config.drift))
    _add(lines, "uptime_seconds", "Since the start", status.uptime_ms / 1e3)
    held_up, paused_s = "Time in which this process did not run though it wanted to", status.held_up.total_ms / 1e3
    _add(lines, "held_up_seconds_total", held_up, paused_s, kind="counter")
    _add(lines, "early_takeovers_total", "Addresses taken early", status.early.takeovers, kind="counter")
    _add(lines, "alarms_total", "Things that went wrong", alarms, kind="counter")
    _of_addresses(lines, status.addresses)
    peers = [(p.node, p.heard_ms) for p in status.peers if p.heard_ms is not None]
    _each(lines, "peer_heard_seconds", "Since a peer last answered", [({"peer": n}, ms / 1e3) for n, ms in peers])
    etcd = [({"endpoint": each.endpoint}, float(each.healthy)) for each in status.etcd]
    _each(lines, "etcd_healthy", "Whether an endpoint of the store answers", etcd)
    sizes = [({"endpoint": each.endpoint}, float(each.db_bytes)) for each in status.etcd if each.healthy]
    _each(lines, "etcd_db_bytes", "Size of an endpoint's database", sizes)
    full = [({"endpoint": each.endpoint}, float(bool(each.alarms))) for each in status.etcd if each.healthy]
    _each(lines, "etcd_alarm", "Whether an endpoint raised an alarm", full)
    return "\n".join(lines) + "\n"


def _of_addresses(lines: list[str], addresses: Iterable[AddressView]) -> None:
    known = [({"address": each.name}, each) for each in addresses]
    _each(lines, "address_bound", "Whether an address is bound here", [(k, float(a.bound)) for k, a in known])
    _each(lines, "address_held", "Whether the key is ours", [(k, float(a.mine)) for k, a in known])
    _each(lines, "address_vacant", "Whether nobody bears the key", [(k, float(a.holder is None)) for k, a in known])
    _each(lines, "address_kept", "Whether promises keep it", [(k, float(a.kept_ms > 0)) for k, a in known])
    left = [(k, a.lifetime_ms / 1e3) for k, a in known]
    _each(lines, "address_lifetime_seconds", "How much longer the kernel keeps it here", left)
    moves = [(k, float(a.moves)) for k, a in known]
    _each(lines, "address_taken_total", "How often it was taken here", moves, kind="counter")


def _add(lines: list[str], name: str, help_: str, value: float, *, kind: str = "gauge") -> None:
    _each(lines, name, help_, [({}, value)], kind=kind)


def _each(
    lines: list[str], name: str, help_: str, values: Iterable[tuple[Mapping[str, str], float]], *, kind: str = "gauge"
) -> None:
    name = f"relay_coordinator_{name}"
    lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]
    for labels, value in values:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
