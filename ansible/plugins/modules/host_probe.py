#!/usr/bin/python
"""Ansible module: what a host is like that is to carry a relay or a member of etcd. Looks only."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: host_probe
short_description: What a host is like that is to carry a relay or a member of etcd
version_added: 0.1.0
author: m365-relay contributors (@m365-relay)
description:
  - Looks at networks, addresses that answer, ports that are taken, capabilities, and how long the disk takes to make a
    write durable. Leaves nothing behind.
options:
  addresses:
    description: Virtual addresses to look for.
    type: list
    elements: str
    default: []
  answers:
    description: Look whether somebody answers for them. Takes up to two seconds.
    type: bool
    default: true
  ports:
    description: TCP ports to look for listeners on.
    type: list
    elements: int
    default: []
  directories:
    description: Directories whose disk is measured, by the nearest that is there.
    type: list
    elements: str
    default: []
  writes:
    description: Writes made to measure a disk; 0 measures none.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Look
  m365_relay.relay.host_probe:
    addresses: [10.1.0.10/32]
    ports: [25, 7711]
    directories: [/var/lib/m365-relay]
  register: found
"""

RETURN = r"""
addresses:
  description: By address, the C(interface) whose network has it, whether it is bound C(here), and by whom C(answered).
  returned: always
  type: dict
networks:
  description: Networks of the host's interfaces.
  returned: always
  type: list
  elements: str
listeners:
  description: By port, the program that listens.
  returned: always
  type: dict
capabilities:
  description: Capabilities a service may be given, of those the product needs.
  returned: always
  type: list
  elements: str
disks:
  description: By directory, C(fsync_ms) (99th percentile), C(free_mib) and C(type) of the file system.
  returned: always
  type: dict
python:
  description: Version of the host's Python 3.
  returned: always
  type: str
systemd:
  description: Version of systemd; 0 without it.
  returned: always
  type: int
memory_mib:
  description: Memory of the machine.
  returned: always
  type: int
"""

CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
WRITE_BYTES = 4096
PATIENCE_S = 2.0
DISCARD = 9
LOCAL = 3
"""Column of ss with the local address."""


def interfaces(module: AnsibleModule) -> list:
    """Give (interface, address with its network) of every address."""
    code, said, _ = module.run_command(["ip", "-json", "address", "show"])
    if code:
        return []
    return [
        (link["ifname"], ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}"))
        for link in json.loads(said)
        for each in link.get("addr_info", [])
        if link["ifname"] != "lo"
    ]


def neighbour(module: AnsibleModule, address: str) -> str:
    """Ask who has an address, as any connection would; give the answerer's link-layer address, or nothing."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    end = time.monotonic() + PATIENCE_S
    module.run_command(["ip", "neigh", "flush", "to", address])  # what was known may be old
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                asking.sendto(b"", (address, DISCARD))
            _, said, _ = module.run_command(["ip", "-json", "neigh", "show", "to", address])
            for each in json.loads(said or "[]"):
                if each.get("lladdr") and not {"FAILED", "INCOMPLETE"} & set(each.get("state", [])):
                    return str(each["lladdr"])
            time.sleep(0.2)
    return ""


def looked_up(module: AnsibleModule, wanted: str, known: list, *, answers: bool) -> dict:
    """Say what is known of a virtual address."""
    address = ipaddress.ip_address(wanted.partition("/")[0])
    link = next((name for name, own in known if address in own.network and own.network.num_addresses > 1), "")
    here = any(own.ip == address for _, own in known)
    asked = answers and link and not here
    return {"interface": link, "here": here, "answered": neighbour(module, str(address)) if asked else ""}


def listeners(module: AnsibleModule, ports: list) -> dict:
    """Give by port who listens on it."""
    if not ports:
        return {}
    _, said, _ = module.run_command(["ss", "--no-header", "--tcp", "--listening", "--numeric", "--processes"])
    found = {}
    for line in said.splitlines():
        words = line.split(None, 5)
        port = words[LOCAL].rsplit(":", 1)[-1] if len(words) > LOCAL else ""
        if port.isdigit() and int(port) in ports:
            program = re.search(r'\(\("([^"]+)"', line)
            found[int(port)] = program[1] if program else "somebody"
    return found


def capabilities() -> list:
    """Give those of the product's capabilities that this machine lets a service have."""
    status = Path("/proc/1/status").read_text(encoding="ascii", errors="replace")
    bounding = int(re.search(r"^CapBnd:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)
    return [name for name, bit in CAPABILITIES.items() if bounding >> bit & 1]


def disk(directory: str, writes: int) -> dict:
    """Measure how long a small write takes to be durable where a directory is, or would be."""
    place = Path(directory)
    while not place.exists():
        place = place.parent
    taken = []
    if writes:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".probe-") as file:
            for _ in range(writes):
                os.write(file.fileno(), os.urandom(WRITE_BYTES))
                before = time.monotonic()
                os.fdatasync(file.fileno())
                taken.append((time.monotonic() - before) * 1_000)
    taken.sort()
    free = shutil.disk_usage(place).free >> 20
    slow = taken[min(len(taken) - 1, len(taken) * 99 // 100)] if taken else 0.0
    return {"fsync_ms": round(slow, 2), "free_mib": free, "type": file_system(place)}


def file_system(place: Path) -> str:
    """Give the type of the file system a directory lies on."""
    best = ("", "unknown")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        inside = mount == "/" or place == Path(mount) or Path(mount) in place.parents
        if inside and len(mount) >= len(best[0]):
            best = (mount, right.split()[0])
    return best[1]


def systemd(module: AnsibleModule) -> int:
    """Give systemd's version."""
    code, said, _ = module.run_command(["systemctl", "--version"])
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if not code and found else 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "default": []},
            "answers": {"type": "bool", "default": True},
            "ports": {"type": "list", "elements": "int", "default": []},
            "directories": {"type": "list", "elements": "str", "default": []},
            "writes": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    wanted, known = module.params, interfaces(module)
    module.exit_json(
        changed=False,
        addresses={each: looked_up(module, each, known, answers=wanted["answers"]) for each in wanted["addresses"]},
        networks=sorted({str(own.network) for _, own in known}),
        listeners=listeners(module, wanted["ports"]),
        capabilities=capabilities(),
        disks={each: disk(each, wanted["writes"]) for each in wanted["directories"]},
        python=".".join(str(part) for part in sys.version_info[:3]),
        systemd=systemd(module),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    )


if __name__ == "__main__":
    main()
