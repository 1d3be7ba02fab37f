"""Filters of the relay role: the configuration's cluster out of the inventory, secrets, what needs a restart."""

from __future__ import annotations

import json
import re

PKI = "/etc/m365-relay/pki"
KINDS = ("from_file", "from_env", "vault", "lookup")
TAKEN_OVER = ("site", "prefer", "hold", "interface", "probe", "hook", "nodes")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


def with_cluster(config: dict, hostvars: dict, relays: list, members: list, cluster: str, addresses: list) -> dict:
    """Give a configuration with what the inventory knows: cluster, nodes, etcd's members, virtual addresses."""
    told = dict(config.get("cluster") or {})
    if double := sorted({"name", "nodes"} & told.keys()):
        raise ValueError(f"relay_config.cluster: {', '.join(double)} follows from the inventory")
    nodes = {}
    for host in relays:
        about = hostvars[host]
        name = str(about.get("relay_node_name") or host)
        nodes[name] = {"site": str(about["relay_site"]), "address": _address(about, host)}
    found = {"name": cluster, "nodes": nodes, "etcd": [_address(hostvars[host], host) for host in members], "pki": PKI}
    settings = {key: value for key, value in config.items() if key != "cluster"}
    return {"cluster": found | told, **settings, **({"virtual_addresses": virtual(addresses)} if addresses else {})}


def virtual(addresses: list) -> dict:
    """Give ``virtual_addresses`` of the configuration by name."""
    named: dict[str, dict] = {}
    for each in addresses:
        plain, _, length = str(each["address"]).partition("/")
        if length not in {"", "32", "128"}:
            raise ValueError(f"relay_addresses: {each['address']}: has no network of its own; write /32 or /128")
        base = f"smtp-{each['site']}"
        number = 1 + sum(name == base or name.startswith(base + "-") for name in named)
        name = each.get("name") or (base if number == 1 else f"{base}-{number}")
        about = {"address": plain, "driver": each.get("driver", "netlink")}
        about |= {key: each[key] for key in TAKEN_OVER if each.get(key)}
        named[name] = about
    return named


def bound_at(addresses: list, site: object) -> list:
    """Give the virtual addresses that hosts of a site bind in their kernel."""
    return [each for each in addresses if each.get("site") == site and each.get("driver", "netlink") == "netlink"]


def _address(about: dict, host: str) -> str:
    return str(about.get("relay_address") or about.get("ansible_host") or host)


def secret_faults(secrets: dict) -> list:
    """Say what is wrong with ``relay_secrets``, one line each: plain text above all. Values are never named."""
    found = []
    for name, how in secrets.items():
        place = f"relay_secrets.{name}"
        if not NAME.match(str(name)):
            found.append(f"{place}: a name has letters, digits, '.', '-' and '_'")
        if not isinstance(how, dict):
            found.append(f"{place}: a secret in plain text; give a reference ({', '.join(KINDS)})")
            continue
        given = [kind for kind in KINDS if kind in how]
        if len(given) != 1:
            found.append(f"{place}: give exactly one of {', '.join(KINDS)}")
        elif given == ["vault"] and not vault_encrypted(how["vault"]):
            found.append(
                f"{place}.vault: a secret in plain text; encrypt it: ansible-vault encrypt_string --name vault"
            )
        elif given == ["lookup"] and not how.get("term"):
            found.append(f"{place}: lookup needs term")
    return found


def vault_encrypted(text: object) -> bool:
    """Tell whether a text came out of a vault, inline."""
    from ansible.plugins.test import core  # noqa: PLC0415 - the rest of this file is read without Ansible, too

    return bool(core.vault_encrypted(text))


def restart_keys(difference: str) -> list:
    """Give the changes that need a restart out of ``relayctl config diff --json``; none of a first file."""
    if not difference.strip():
        return []
    return list(json.loads(difference)["needs_restart"])


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict:
        """Name them."""
        return {
            "with_cluster": with_cluster,
            "virtual": virtual,
            "bound_at": bound_at,
            "secret_faults": secret_faults,
            "restart_keys": restart_keys,
        }
