"""Filters of the preflight role: what of a plan, or of a host, cannot work. Every fault at once, each with why."""

from __future__ import annotations

import re
from ipaddress import ip_address

NETWORK_DISKS = {"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "fuse.sshfs", "9p"}
OURS = {"relay-node", "relay-coordinat", "relay-coordinator", "etcd", "python", "python3"}
"""Programs that may have the ports already: names as the kernel cuts them."""
CLUSTER = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
PYTHON = (3, 11)
SYSTEMD = 250
"""The first that keeps secrets encrypted."""
MEMBERS_MIN = 3
RELAYS_MIN = 2
DRIVERS = ("netlink", "probe", "hook")


def plan_faults(hostvars: dict, relays: list, members: list, cluster: object, addresses: object) -> list:
    """Say what of the inventory cannot work, one line each: ``HOST: what and why``, or ``inventory: …``."""
    found = []
    if not isinstance(cluster, str) or not CLUSTER.match(cluster):
        found.append(f"inventory: relay_cluster_name: expected a name of letters, digits and '-', not {cluster!r}")
    if len(members) < MEMBERS_MIN or not len(members) % 2:
        found.append(
            f"inventory: group etcd has {len(members)} host{'s' * (len(members) != 1)}: needs 3 or 5, so that a "
            "majority goes on when one is lost"
        )
    if len(relays) < RELAYS_MIN:
        found.append(
            f"inventory: group relay has {len(relays)} host{'s' * (len(relays) != 1)}: a cluster needs at least 2"
        )
    for host in relays:
        found += _relay_faults(host, hostvars[host])
    found += _doubles("relay_node_name", {host: _name(host, hostvars[host]) for host in relays})
    for group in (relays, members):
        found += _doubles("address", {host: _address(host, hostvars[host]) for host in group})
    return found + _addresses_faults(addresses, hostvars, relays)


def _relay_faults(host: str, about: dict) -> list:
    found = []
    site, name, address = about.get("relay_site"), _name(host, about), _address(host, about)
    if not isinstance(site, str) or not site:
        found.append(f"{host}: relay_site: expected the name of a data centre, not {site!r}")
    if name == "root":
        found.append(f"{host}: relay_node_name: root is etcd's administrator")
    if not _is_address(address):
        found.append(f"{host}: relay_address: expected an IP address, not {address!r}, which ansible_host says")
    return found


def _addresses_faults(addresses: object, hostvars: dict, relays: list) -> list:
    if not isinstance(addresses, list):
        return [f"inventory: relay_addresses: expected a list, not {type(addresses).__name__}"]
    found, sites = [], {str(hostvars[host].get("relay_site")) for host in relays}
    taken = {_address(host, hostvars[host]): host for host in relays}
    for number, each in enumerate(addresses):
        place = f"inventory: relay_addresses[{number}]"
        if not isinstance(each, dict):
            found.append(f"{place}: expected address, site and driver, not {each!r}")
            continue
        plain, _, length = str(each.get("address", "")).partition("/")
        if not _is_address(plain) or length not in {"", "32" if "." in plain else "128"}:
            found.append(f"{place}.address: expected an address such as 10.0.0.50/32, not {each.get('address')!r}")
        elif plain in taken:
            found.append(f"{place}.address: {plain} is the own address of {taken[plain]}")
        taken.setdefault(plain, place)
        if str(each.get("site")) not in sites:
            found.append(
                f"{place}.site: no host of group relay is in {each.get('site')!r}; sites: {', '.join(sorted(sites))}"
            )
        if each.get("driver", "netlink") not in DRIVERS:
            found.append(f"{place}.driver: expected one of {', '.join(DRIVERS)}, not {each.get('driver')!r}")
    return found


def host_faults(seen: dict, limits: dict) -> list:
    """Say what of a host cannot work. *seen*: what ``host_probe`` found and more; *limits*: what is asked of it."""
    found = _clock_faults(seen, limits["clock_ms"])
    for directory, disk in seen["disks"].items():
        found += _disk_faults(directory, disk, limits)
    lacking = [name for name in limits["capabilities"] if name not in seen["capabilities"]]
    found += [f"no service here may have {name} (a container?): {_needs(name)}" for name in lacking]
    taken = {port: program for port, program in seen["listeners"].items() if program not in OURS}
    found += [f"port {port} is taken by {program}: stop and disable it" for port, program in taken.items()]
    return found + _system_faults(seen, limits)


def _clock_faults(seen: dict, most_ms: float) -> list:
    if abs(seen["offset_ms"]) - seen["uncertain_ms"] <= most_ms:
        return []
    off_s = seen["offset_ms"] / 1000
    return [f"its clock is {off_s:+.1f} s off the control host's (at most {most_ms} ms): set up time synchronisation"]


def _disk_faults(directory: str, disk: dict, limits: dict) -> list:
    found = []
    if disk["type"] in NETWORK_DISKS:
        found.append(f"{directory} lies on a network file system ({disk['type']}): needs a local disk")
    if disk["fsync_ms"] > limits["fsync_ms"]:
        found.append(
            f"the disk of {directory} takes {disk['fsync_ms']} ms to make a write durable "
            f"(99 of 100 within {limits['fsync_ms']} ms are needed)"
        )
    if disk["free_mib"] < limits["free_mib"]:
        found.append(f"the disk of {directory} has {disk['free_mib']} MiB free (needed: {limits['free_mib']})")
    return found


def _system_faults(seen: dict, limits: dict) -> list:
    found = []
    if tuple(int(part) for part in seen["python"].split(".")[:2]) < PYTHON and not limits["other_python"]:
        found.append(f"Python {seen['python']}: 3.11 or later is needed (relay_python)")
    if seen["systemd"] < SYSTEMD:
        found.append(f"systemd {seen['systemd'] or 'is missing'}: {SYSTEMD} or later is needed, which encrypts secrets")
    if seen["memory_mib"] < limits["memory_mib"]:
        found.append(f"{seen['memory_mib']} MiB of memory (needed: {limits['memory_mib']})")
    return found


def _needs(capability: str) -> str:
    return {
        "CAP_NET_ADMIN": "a virtual address could not be bound",
        "CAP_NET_RAW": "neighbours could not be told of a virtual address",
    }.get(capability, "ports below 1024 could not be bound")


def address_faults(probes: dict, addresses: list, hostvars: dict) -> list:
    """Say which virtual addresses somebody else has, or which no host of their site could hold.

    *probes*: by host, what ``host_probe`` found of addresses.
    """
    found = []
    for each in addresses:
        if each.get("driver", "netlink") != "netlink":
            continue
        wanted, site = each["address"], str(each["site"])
        seen = {host: about[wanted] for host, about in probes.items() if str(hostvars[host]["relay_site"]) == site}
        if any(about["here"] for about in seen.values()):
            continue  # one of ours has it
        for host, about in sorted(seen.items()):
            found += _answers(host, wanted, about)
            if not about["interface"] and not each.get("interface"):
                found.append(f"{host}: {wanted} lies in no network of this host, which is in its site {site}")
    return found


def _answers(host: str, wanted: str, about: dict) -> list:
    if not about["answered"]:
        return []
    return [f"{host}: {wanted} is answered for by {about['answered']}, which is no host of this cluster"]


def _doubles(what: str, values: dict) -> list:
    found = []
    for host, value in values.items():
        others = [other for other, same in values.items() if same == value and other < host]
        if others:
            found.append(f"{host}: {what} {value} is that of {others[0]} as well")
    return found


def _name(host: str, about: dict) -> str:
    return str(about.get("relay_node_name") or host)


def _address(host: str, about: dict) -> str:
    return str(about.get("relay_address") or about.get("ansible_host") or host)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict:
        """Name them."""
        return {"plan_faults": plan_faults, "host_faults": host_faults, "address_faults": address_faults}
