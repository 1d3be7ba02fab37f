"""``relayctl top`` in a real terminal: drawn anew, narrow or wide; a node that falls silent; no terminal at all."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support.fake_node import FakeNode

ROOT = Path(__file__).parents[2]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")
BOUND_S = 120.0
METRICS = b'relay_messages_accepted_total{client="a"} 7.0\n'
pytestmark = pytest.mark.timeout(400)


def node_of(name: str, **more) -> dict:
    return {
        "node": name, "site": "dc1", "member": True, "answered": True, "error": "", "ready": True, "reasons": [],
        "margin_ms": 8_400, "shadow": "relay-b", "unprotected": 0, "lasting": 0, "quarantined": "", "drift": False,
        "clock": "fine", "offset_ms": 0, **more,
    }  # fmt: skip


CLUSTER = {
    "name": "corp-mail", "phase": "live", "leader": "relay-b", "holders": {"smtp-dc1": "relay-a"}, "blocked_by": "",
    "refused": "", "etcd": [], "wishes": [], "ignored": {},
    "nodes": [node_of("relay-a"), node_of("relay-c", answered=False, error="no answer within 1 s")],
}  # fmt: skip
ANSWERS = {
    "/v1/status": {
        "node": "relay-a", "readiness": {"ready": True, "reasons": []}, "by_state": {"queued": 2},
        "oldest_received_ms": {"normal": 1}, "ways": [
            {"path": "submission", "account": "contoso/relay1@contoso.com", "state": "resting", "reason": "throttled",
             "until_ms": 1_800_000_000_000},
        ],
    },
    "/v1/cluster": CLUSTER,
    "/v1/budget": [
        {"scope": "contoso/relay1@contoso.com", "kind": "minute", "used": 7, "limit": 30, "retry_ms": 0},
    ],
    "/metrics": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(METRICS), METRICS),
}  # fmt: skip
COMMAND = [sys.executable, "-m", "node", "top", "--every", "500ms"]


class Terminal:
    """The command in a pseudo-terminal of a size; ``seen`` is what it wrote, without what moves the cursor."""

    def __init__(self, socket: Path, columns: int, rows: int = 30):
        self.raw, self._status = "", None
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(ROOT)
            environment = {**os.environ, "RELAY_SOCKET": str(socket), "TERM": "xterm-256color"}
            for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
                environment.pop(name, None)
            os.execve(COMMAND[0], COMMAND, environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fd)
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    @property
    def seen(self) -> str:
        return ESCAPES.sub("", self.raw)

    def _read(self, wait_s: float) -> bool:
        """Read what is there; False once the other end is closed."""
        if select.select([self.fd], [], [], wait_s)[0]:
            try:
                self.raw += os.read(self.fd, 65_536).decode("utf-8", "replace")
            except OSError:
                return False
        return True

    def until(self, *pieces: str) -> None:
        end = time.monotonic() + BOUND_S
        while not all(piece in self.seen for piece in pieces):
            assert time.monotonic() < end, self.seen
            assert self._read(0.1), self.seen

    def ended(self) -> int:
        end = time.monotonic() + BOUND_S
        while self._read(0.1):
            assert time.monotonic() < end, self.seen
        self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


@pytest.fixture
def node(tmp_path):
    with FakeNode(tmp_path / "admin.sock", dict(ANSWERS)) as made:
        yield made


def test_a_page_shows_nodes_holders_leader_rates_budgets_and_what_rests(node):
    with Terminal(node.path, 120) as terminal:
        terminal.until("relay-a ready", "corp-mail: live, leader relay-b", "smtp-dc1 at relay-a", "margin", "8.4 s")
        terminal.until("silent", "does not answer: no answer within 1 s", "queue: queued 2", "7/30", "throttled")
        terminal.until("accepted 0.0/s")
        first = len(terminal.raw)
        terminal.raw = ""
        terminal.until("relay-a ready")
        assert first, "it is drawn anew"
        terminal.raw = ""
        node.answers["/v1/status"] = (503, {"error": "the node is going"})
        terminal.until("no answer, the figures are old", "the node is going", "7/30")
        node.answers["/v1/status"] = ANSWERS["/v1/status"]
        terminal.raw = ""
        terminal.until("relay-a ready")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.ended() == 0
        assert "\x1b[?1049l" in terminal.raw, "the screen as it was is given back"


def test_a_narrow_terminal_leaves_columns_out_and_no_line_is_broken(node):
    with Terminal(node.path, 44) as terminal:
        terminal.until("relay-a ready", "unprotected", "7/30", "resting")
        assert "copies at" not in terminal.seen
        assert "next free" not in terminal.seen
        lines = terminal.seen.replace("\r", "\n").split("\n")
        assert max(len(line.rstrip()) for line in lines) <= 44


@pytest.mark.parametrize("more", [[], ["--once"]], ids=["live", "once"])
def test_without_a_terminal_only_once_will_do(node, more):
    done = subprocess.run(
        [*COMMAND, *more], cwd=ROOT, env={**os.environ, "RELAY_SOCKET": str(node.path)}, capture_output=True,
        text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    if more:
        assert done.returncode == 0, done.stderr
        assert "relay-a ready" in done.stdout
        assert "\x1b" not in done.stdout
    else:
        assert (done.returncode, "--once" in done.stderr) == (2, True)


def test_a_node_that_is_not_there_is_said_so(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--once"], cwd=ROOT, env={**os.environ, "RELAY_SOCKET": str(tmp_path / "none.sock")},
        capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "none.sock" in done.stderr
