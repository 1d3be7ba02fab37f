#!/usr/bin/python
"""Ansible module: how the relay on this host stands, by its two administration sockets."""

from __future__ import annotations

import http.client
import json
import socket

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_state
short_description: How the relay on this host stands
version_added: 0.1.0
author: m365-relay contributors (@m365-relay)
description:
  - Asks relay-node and relay-coordinator on their sockets. Never fails because they do not answer; it says so.
options:
  runtime:
    description: Directory with the sockets.
    type: path
    default: /run/m365-relay
  nodes:
    description: Nodes whose absence counts; all of them when empty. One that was taken out of the inventory is known
      to the others until they have been restarted.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Wait until the node is ready
  m365_relay.relay.node_state:
  register: state
  until: state.ready
  retries: 30
  delay: 2
"""

RETURN = r"""
answered:
  description: The node answers.
  returned: always
  type: bool
joined:
  description: Both processes have a session in the cluster.
  returned: always
  type: bool
ready:
  description: Both have a session, and the node says that mail can be made durable here.
  returned: always
  type: bool
protected:
  description: Copies of mail go to another node, or the cluster has no other.
  returned: always
  type: bool
holds:
  description: Virtual addresses this host holds.
  returned: always
  type: list
  elements: str
unheld:
  description: Virtual addresses of this host's site that nobody holds.
  returned: always
  type: list
  elements: str
absent:
  description: Other nodes that are not ready, each with why.
  returned: always
  type: list
  elements: str
queued:
  description: Recipients whose mail is here and not settled.
  returned: always
  type: int
wishes:
  description: Operators' wishes in force.
  returned: always
  type: list
  elements: dict
  contains:
    node:
      description: Node that signed it; its word counts while it is a node, and its authority trusted.
      type: str
    text:
      description: What is wished, by whom and why.
      type: str
level:
  description: Level in force in the cluster; 0 when the node does not answer.
  returned: always
  type: int
newest_level:
  description: Newest level the node knows.
  returned: always
  type: int
version:
  description: Version that runs; empty when the node does not answer.
  returned: always
  type: str
why:
  description: Why the node is not ready; empty when it is.
  returned: always
  type: str
"""

PATIENCE_S = 10.0
SETTLED = ("delivered", "bounced", "dead", "deleted")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("relay", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


def ask(path: str, url: str) -> dict:
    """Give what a socket answers; an empty dictionary when it does not."""
    connection = _Connection(path)
    try:
        connection.request("GET", url)
        answer = connection.getresponse()
        return (json.loads(answer.read()) or {}) if answer.status == http.client.OK else {}
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()


def told(wish: dict) -> str:
    """Give a wish as a person would."""
    about = " ".join(part for part in (wish["kind"], wish["what"]) if part)
    return f"{about}, by {wish['actor']}: {wish['reason']}"


def summed_up(node: dict, cluster: dict, coordinator: dict, nodes: list) -> dict:
    """Say in few words what the three answers mean; an empty one means that nobody answered.

    *nodes*: those whose absence counts; all when empty.
    """
    me, phase = node.get("node", ""), cluster.get("phase", "")
    coordinating = coordinator.get("session", {}).get("phase", "")
    readiness = node.get("readiness", {})
    others = [each for each in cluster.get("nodes", []) if each["node"] != me]
    addresses = coordinator.get("addresses", [])
    joined = phase == "live" and coordinating == "live"
    why = [] if node else ["relay-node does not answer"]
    why += [] if coordinator else ["relay-coordinator does not answer"]
    why += [f"relay-node has no session ({phase}: {cluster.get('refused')})"] if cluster and phase != "live" else []
    why += ["relay-coordinator has no session"] if coordinator and coordinating != "live" else []
    why += list(readiness.get("reasons", []))
    return {
        "answered": bool(node),
        "joined": joined,
        "ready": joined and bool(readiness.get("ready")),
        "protected": not others or bool((node.get("copies") or {}).get("shadow")),
        "holds": [each["name"] for each in addresses if each["bound"] or (each["holder"] == me and me)],
        "unheld": [
            each["name"] for each in addresses if not each["holder"] and each["site"] == coordinator.get("site")
        ],
        "absent": [
            f"node {each['node']} {'is not ready' if each['answered'] else 'does not answer'}"
            for each in others
            if not (each["member"] and each["answered"] and each["ready"]) and (not nodes or each["node"] in nodes)
        ],
        "queued": sum(number for state, number in node.get("by_state", {}).items() if state not in SETTLED),
        "wishes": [{"node": each["node"], "text": told(each)} for each in cluster.get("wishes", [])],
        "level": (node.get("level") or {}).get("level", 0),
        "newest_level": (node.get("level") or {}).get("newest", 0),
        "version": node.get("version", ""),
        "why": "; ".join(why),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "runtime": {"type": "path", "default": "/run/m365-relay"},
            "nodes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    runtime = module.params["runtime"]
    node, cluster = (ask(f"{runtime}/admin.sock", url) for url in ("/v1/status", "/v1/cluster"))
    coordinator = ask(f"{runtime}/coordinator.sock", "/v1/status")
    module.exit_json(changed=False, **summed_up(node, cluster, coordinator, module.params["nodes"]))


if __name__ == "__main__":
    main()
