"""What the collection's modules make of answers, without a host; with Ansible's own Python, as they import it."""

import json
import subprocess

import pytest

from tests.ansible.support import COLLECTION

SUM_UP = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("node_state", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps(module.summed_up(**json.load(sys.stdin))))
"""


def process(name, **facts):
    return {"node": name, "member": True, "answered": True, "ready": True, **facts}


WISH = {"kind": "hold", "what": "all", "actor": "ann", "reason": "phishing", "node": "relay-b"}
ANSWERS = {
    "node": {
        "node": "relay-a",
        "version": "0.1.0",
        "readiness": {"ready": True, "reasons": []},
        "copies": {"shadow": "relay-b"},
        "by_state": {"queued": 2, "delivered": 9},
        "level": {"level": 1, "newest": 2},
    },
    "cluster": {
        "phase": "live",
        "refused": "",
        "nodes": [process("relay-a"), process("relay-b"), process("relay-d", answered=False)],
        "wishes": [WISH],
    },
    "coordinator": {"session": {"phase": "live"}, "addresses": [], "site": "dc1"},
    "nodes": [],
}


@pytest.fixture(scope="module")
def summed_up(ansible):
    def sum_up(**changes):
        done = subprocess.run(
            [ansible.home / "bin/python", "-c", SUM_UP, COLLECTION / "plugins/modules/node_state.py"],
            input=json.dumps(ANSWERS | changes), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    return sum_up


def test_a_node_that_is_ready_says_what_it_knows(summed_up):
    found = summed_up()
    assert (found["ready"], found["protected"], found["queued"], found["why"]) == (True, True, 2, "")
    assert found["absent"] == ["node relay-d does not answer"]
    assert (found["level"], found["newest_level"]) == (1, 2)
    assert found["wishes"] == [{"node": "relay-b", "text": "hold all, by ann: phishing"}]


def test_a_node_taken_out_of_the_inventory_is_not_waited_for(summed_up):
    assert summed_up(nodes=["relay-a", "relay-b"])["absent"] == []


def test_nobody_answers(summed_up):
    found = summed_up(node={}, cluster={}, coordinator={})
    assert (found["answered"], found["ready"], found["wishes"], found["level"]) == (False, False, [], 0)
    assert "relay-node does not answer" in found["why"]
