"""What two coordinators must agree on, as one hash.

A node's hash covers the meaning of the whole configuration (operations M5), most of which a coordinator cannot read.
So a coordinator publishes the hash of its own parts alone: ``cluster`` and ``virtual_addresses``. Nodes are compared
with nodes, coordinators with coordinators; and as a node computes this hash as well, a coordinator that still runs on
an older file than the node beside it shows too. Values left at their default do not count.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from coordinator.settings.cluster import Cluster, VirtualAddress

HOSTS_OWN: Final[dict[str, Any]] = {
    "cluster": {"pki", "bind"},
    "virtual_addresses": {"__all__": {"probe": {"address"}}},
}
"""Of these parts, what may differ from host to host: where the certificates lie, and what is bound."""


def coordination_hash(cluster: Cluster, addresses: Mapping[str, VirtualAddress]) -> str:
    """Hash what coordinators must agree on; SHA-256 in hexadecimal."""
    shared = {
        "cluster": cluster.model_dump(mode="json", exclude_defaults=True, exclude=HOSTS_OWN["cluster"]),
        "virtual_addresses": {
            name: one.model_dump(mode="json", exclude_defaults=True, exclude={"probe": {"address"}})
            for name, one in addresses.items()
        },
    }
    return hashlib.sha256(json.dumps(shared, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
