"""``relayctl demo``, used as its welcome says: three nodes take mail, share what operators wish, outlive one of them.

Runs in a network of its own, since the demonstration's addresses are fixed.
"""

import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from node.cli.cluster import troubles_of, whole
from node.cli.remote import Remote
from tests.support.netns import REASON, USABLE, Namespace
from tests.support.world import mail, until

pytestmark = [pytest.mark.skipif(not USABLE, reason=REASON), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
NODES = {"relay-a": "127.0.0.11", "relay-b": "127.0.0.12", "relay-c": "127.0.0.13"}
ADDRESS = "127.0.0.10"
PORT = 2525
SENDER, RECIPIENT = "app@contoso.com", "someone@example.com"
START_S = 150.0


class DemoCluster:
    """The demonstration in a directory and a network of its own."""

    def __init__(self, home: Path, net: Namespace):
        self.home, self.net, self.log = home, net, home / "log"

    def __enter__(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.net.command, sys.executable, "-m", "node", "demo"],
                cwd=self.home, stdout=log, stderr=log, env=self.environment(),
            )  # fmt: skip
        try:
            until(self.welcomed, START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()

    def environment(self) -> dict:
        return {**{k: v for k, v in os.environ.items() if k != "RELAY_SOCKET"}, "PYTHONPATH": str(ROOT)}

    def said(self) -> str:
        return self.log.read_text()

    def welcomed(self) -> bool:
        assert self.process.poll() is None, self.said()
        return "Ctrl-C ends everything" in self.said()

    def ctl(self, node: str, *arguments: str, code: int = 0) -> str:
        socket = self.home / "var" / "demo" / node / "run" / "admin.sock"
        done = subprocess.run(
            [sys.executable, "-m", "node", *arguments], cwd=self.home, check=False,
            env={**self.environment(), "RELAY_SOCKET": str(socket)}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr + self.said()
        return done.stdout

    def status(self, node: str) -> dict:
        """What `relayctl status --json` prints; asked without the time a program takes to start."""
        seen = whole(Remote(self.home / "var" / "demo" / node / "run" / "admin.sock"))
        return {**seen, "troubles": troubles_of(seen)}

    def send(self, host: str) -> str:
        with self.net.inside():
            smtp = smtplib.SMTP(host, PORT, timeout=20)
        with smtp:
            smtp.ehlo("client.test")
            smtp.mail(SENDER)
            smtp.rcpt(RECIPIENT)
            code, text = smtp.data(mail(SENDER, RECIPIENT))
        assert code == 250, text
        return text.decode().split()[-1]

    def try_send(self, host: str) -> str:
        """As ``send``; empty while the balancer still leads to who held the address before."""
        try:
            return self.send(host)
        except (OSError, smtplib.SMTPException):
            return ""

    def holder(self, node: str) -> str | None:
        """Who holds the address, as a node's coordinator sees it."""
        return self.status(node)["coordinator"]["addresses"][0]["holder"]

    def receipts(self) -> list[dict]:
        control = re.search(r"(http://[^ ]+)/receipts", self.said())[1]
        with self.net.inside(), urllib.request.urlopen(f"{control}/receipts?limit=1000", timeout=5) as answer:
            return json.load(answer)

    def arrived(self, queue_ids: list[str]) -> bool:
        headers = "".join(one["headers"] for one in self.receipts())
        return all(f"id {queue_id};" in headers for queue_id in queue_ids)

    def pid(self, node: str, what: str) -> int:
        return int((self.home / "var" / "demo" / node / f"{what}.pid").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    home = tmp_path_factory.mktemp("dc")  # short: a socket's path has an end
    with Namespace() as net, DemoCluster(home, net) as demo:
        yield demo


def test_mail_through_every_node_and_through_the_address_arrives(demo):
    sent = [demo.send(host) for host in (*NODES.values(), ADDRESS)]
    until(lambda: demo.arrived(sent), 60)
    until(lambda: demo.status("relay-a")["troubles"] == [], 60)
    whole_page = demo.status("relay-a")
    assert whole_page["cluster"]["leader"] in NODES
    assert [node["node"] for node in whole_page["cluster"]["nodes"]] == list(NODES)
    assert {each["healthy"] for each in whole_page["cluster"]["etcd"]} == {True}
    assert demo.holder("relay-a") in NODES
    assert json.loads(demo.ctl("relay-b", "status", "--json"))["cluster"]["leader"] == whole_page["cluster"]["leader"]


@pytest.mark.long
def test_the_address_moves_when_asked(demo):
    target = next(node for node in NODES if node != demo.holder("relay-a"))
    out = demo.ctl("relay-c", "vip", "move", "smtp", "--to", target, "--reason", "trying it", "--wait", "40s")
    assert f"smtp is held by {target}" in out
    before = demo.status(target)["by_state"].get("delivered", 0)
    sent = until(lambda: demo.try_send(ADDRESS), 20)
    until(lambda: demo.arrived([sent]), 60)
    until(lambda: demo.status(target)["by_state"]["delivered"] == before + 1)
    demo.ctl("relay-a", "vip", "move", "smtp", "--end", "--reason", "tried")


@pytest.mark.long
def test_what_one_operator_parks_rests_on_every_node_and_a_pause_is_seen_by_all(demo):
    demo.ctl("relay-a", "account", "park", "relay1@contoso.com", "--reason", "new password")
    demo.ctl("relay-b", "pause", "--for", "10m", "--reason", "storage work")

    def seen(node: str) -> tuple:
        page = demo.status(node)
        kinds = {wish["kind"] for wish in page["cluster"]["wishes"]}
        return kinds >= {"park", "pause"}, {way["account"]: way["state"] for way in page["ways"]}

    for node in NODES:
        until(lambda node=node: seen(node)[0] and seen(node)[1]["contoso/relay1@contoso.com"] == "parked")
        until(lambda node=node: demo.status(node)["coordinator"]["pause"]["paused"])
    demo.ctl("relay-c", "pause", "--end", "--reason", "done")
    demo.ctl("relay-c", "account", "resume", "relay1@contoso.com", "--reason", "done")
    for node in NODES:
        until(lambda node=node: {way["state"] for way in demo.status(node)["ways"]} == {"healthy"})


@pytest.mark.long
def test_a_node_killed_gives_the_address_away_and_comes_back(demo):
    holder = demo.holder("relay-c")
    other = next(node for node in NODES if node != holder)
    os.kill(demo.pid(holder, "node"), signal.SIGKILL)
    until(lambda: demo.holder(other) not in (None, holder), 40)
    sent = until(lambda: demo.try_send(ADDRESS), 20)
    until(lambda: demo.arrived([sent]), 60)
    until(lambda: f"node of {holder} started again" in demo.said(), 40)
    until(lambda: demo.status(other)["troubles"] == [], 60)


def test_the_end_leaves_nothing_running(demo):
    pids = [demo.pid(node, what) for node in NODES for what in ("node", "coordinator", "etcd")]
    assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    rest = subprocess.run(["pgrep", "-f", str(demo.home)], capture_output=True, text=True, check=False).stdout
    assert rest == ""
