"""A running node as systemd hears it: ready, alive while its loop turns, silent once it stands still, stopping."""

import signal
import socket

import pytest

from tests.support.simulated import WIDE, Simulated, directory
from tests.support.world import relay, wide

INTERVAL_S = 1.0
"""As systemd would be told; the node says that it is alive four times as often."""


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        yield {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(INTERVAL_S * 1e6))}, heard


def hears(heard: socket.socket, word: bytes, among: int = 200) -> None:
    """Wait for a word; whatever else is said before is passed over."""
    assert word in (heard.recv(100) for _ in range(among))


def test_systemd_hears_from_a_node_that_moves_and_nothing_from_one_that_stands_still(tmp_path, systemd):
    environment, heard = systemd
    with Simulated(tmp_path / "sim", directory(["relay1"], limits=WIDE)) as cloud:
        node = relay(cloud, tmp_path / "n", wide("relay1"))
    try:
        node.start(wait=False, environment=environment)
        hears(heard, b"READY=1")
        hears(heard, b"WATCHDOG=1")
        node.process.send_signal(signal.SIGSTOP)
        heard.settimeout(INTERVAL_S)
        with pytest.raises(TimeoutError):
            hears(heard, b"", among=20)
        heard.settimeout(60)
        node.process.send_signal(signal.SIGCONT)
        hears(heard, b"WATCHDOG=1")
        node.process.send_signal(signal.SIGTERM)
        hears(heard, b"STOPPING=1")
        assert node.process.wait(40) == 0
    finally:
        if node.process.poll() is None:
            node.kill()
