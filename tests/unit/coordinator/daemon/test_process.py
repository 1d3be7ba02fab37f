"""Whether a process has ended, by the kernel's word: one that only stands still has not."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from coordinator.daemon.process import PeerProcess

LISTENS = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listener(tmp_path):
    path = tmp_path / "node.sock"
    command = [sys.executable, "-c", LISTENS, str(path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "listening\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            yield child, connection
    finally:
        child.kill()
        child.communicate()


def test_a_frozen_process_has_not_ended_and_a_killed_one_has(listener):
    child, connection = listener
    process = PeerProcess.of(connection)
    assert not process.ended
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert not process.ended
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.ended, "a zombie has nothing open any more"
    process.close()
    assert process.ended, "what is known stays known"


def test_a_process_gone_before_it_is_looked_at_has_ended(listener):
    child, connection = listener
    child.kill()
    child.wait()
    assert PeerProcess.of(connection).ended


@pytest.mark.parametrize("pid", [0, -1])
def test_who_is_not_known_has_never_ended(pid):
    assert not PeerProcess(pid).ended


def test_it_is_unknown_where_the_kernel_refuses(monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not PeerProcess(os.getpid()).ended
