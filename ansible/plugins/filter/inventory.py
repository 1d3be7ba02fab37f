"""Filters on hosts of the inventory and on etcd's list of members."""

from __future__ import annotations

from ipaddress import ip_interface


def node_name(variables: dict) -> str:
    """Give a relay's name in the configuration."""
    return str(variables.get("relay_node_name") or variables["inventory_hostname"])


def member_address(variables: dict) -> str:
    """Give the address a host is reached at by the others: ``relay_address``, else the one Ansible uses."""
    found = variables.get("etcd_address") or variables.get("relay_address") or variables.get("ansible_host")
    return url_host(str(found or variables["inventory_hostname"]))


def own_address(variables: dict) -> str:
    """Give a host's address for the others, without brackets."""
    return member_address(variables).strip("[]")


def of_version(networks: list, version: int) -> list:
    """Give the networks and addresses of one version of IP."""
    return sorted({each for each in networks if ip_interface(each).version == version})


def url_host(address: str) -> str:
    """Give an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def member_standing(listed: dict, name: str, peer_url: str) -> dict:
    """Say how a running etcd sees a host without data: ``state`` and the member's ``id`` in hexadecimal.

    ``unknown``: no member; ``announced``: added, not started; ``late``: one of those the cluster began with, not
    started; ``lost``: it was there with data.
    """
    for member in listed["members"]:
        if member.get("name") != name and peer_url not in member.get("peerURLs", []):
            continue
        identity = f"{int(member['ID']):x}"
        if member.get("clientURLs"):
            return {"state": "lost", "id": identity}
        return {"state": "late" if member.get("name") else "announced", "id": identity}
    return {"state": "unknown", "id": ""}


def initial_cluster(listed: dict, name: str, peer_url: str) -> str:
    """Give ``initial-cluster`` for a member that was just announced: all that are listed, itself by its name."""
    found = []
    for member in listed["members"]:
        known = member.get("name") or f"{int(member['ID']):x}"  # one that was announced, too, has not said its name
        found += [f"{name if peer_url in member['peerURLs'] else known}={url}" for url in member["peerURLs"]]
    return ",".join(found)


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict:
        """Name them."""
        return {
            "node_name": node_name,
            "member_address": member_address,
            "own_address": own_address,
            "of_version": of_version,
            "url_host": url_host,
            "member_standing": member_standing,
            "initial_cluster": initial_cluster,
        }
