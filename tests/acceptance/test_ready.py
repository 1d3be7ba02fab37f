"""When a node says it is ready: not before somebody serves its listeners."""

import os
import socket
import time

from tests.support.relay import RelayProcess
from tests.support.simulated import Simulated, directory
from tests.support.world import relay, until, wide

SLOW_WORKER = """
import os, sys, time
if "node.intake.worker" in sys.orig_argv:
    while not os.path.exists(os.environ["WORKERS_MAY_START"]):
        time.sleep(0.01)
"""


def answers(node: RelayProcess) -> bool:
    try:
        node.status()
    except (AssertionError, OSError):
        return False
    return True


def test_a_node_is_not_ready_before_its_workers_serve(tmp_path):
    place, flag = tmp_path / "place", tmp_path / "go"
    place.mkdir()
    (place / "sitecustomize.py").write_text(SLOW_WORKER)
    paths = [str(place), *filter(None, [os.environ.get("PYTHONPATH")])]
    with Simulated(tmp_path / "sim", directory(["relay1"])) as cloud:
        node = relay(cloud, tmp_path / "node", wide("relay1"))
        node.config["intake"] = {"processes": 2}
        node.start(wait=False, environment={"PYTHONPATH": os.pathsep.join(paths), "WORKERS_MAY_START": str(flag)})
        try:
            until(lambda: answers(node), 60)
            end = time.monotonic() + 1
            while time.monotonic() < end:  # nothing would tell of a mistake: it is looked for
                status = node.status()
                assert status["readiness"] == {"ready": False, "reasons": ["not listening yet"]}
                assert status["listeners"] == {}
            flag.touch()
            node.wait_ready()
            with socket.create_connection(("127.0.0.1", node.port()), 10) as client:
                assert client.recv(100).startswith(b"220 ")
        finally:
            node.__exit__()
