"""The seven-line configuration, word for word, and the one ``init`` writes: both start a working node.

In a network of its own, since it listens on 25 and 587, and with /var/lib and /run of its own.
"""

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.remote import Remote
from node.errors import RelayError
from tests.support.netns import REASON, USABLE, Namespace
from tests.support.settings_files import SMALLEST
from tests.support.simulated import DOMAIN, Simulated, directory
from tests.support.smtp_client import RawSmtp
from tests.support.world import secret_file, until

pytestmark = pytest.mark.skipif(not USABLE, reason=REASON)
ROOT = Path(__file__).parents[2]
APPLICATION = "10.1.2.3"
ELSEWHERE = "10.9.9.9"
SECRET_PLACE = "/etc/m365-relay/app-secret"


def relayctl(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "node", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def as_documented(home: Path) -> str:
    return SMALLEST.read_text().replace(SECRET_PLACE, str(secret_file(home)))


def as_init_writes(home: Path) -> str:
    path = home / "written.yaml"
    done = relayctl(
        "init", path, "--tenant-id", "8f2c1a0e-0000-4000-8000-000000000000", "--domain", DOMAIN,
        "--client-id", "1b7d2c3e-0000-4000-8000-000000000000", "--secret-file", secret_file(home),
        "--account", f"relay1@{DOMAIN}", "--account", f"relay2@{DOMAIN}", "--network", "10.1.0.0/16",
        "--owner", f"it@{DOMAIN}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    checked = relayctl("config", "check", path)
    assert checked.returncode == 0, checked.stderr
    return path.read_text()


def test_init_writes_the_documented_seven_lines(tmp_path):
    written = as_init_writes(tmp_path)
    assert written == as_documented(tmp_path)
    assert len(written.splitlines()) == 7


def test_init_replaces_nothing_and_asks_no_script(tmp_path):
    (tmp_path / "there.yaml").write_text("mine\n")
    assert relayctl("init", tmp_path / "there.yaml").returncode == 2
    assert (tmp_path / "there.yaml").read_text() == "mine\n"
    incomplete = relayctl("init", tmp_path / "new.yaml", "--domain", DOMAIN)
    assert incomplete.returncode == 2
    assert "--tenant-id" in incomplete.stderr
    assert not (tmp_path / "new.yaml").exists()


class SmallNode:
    """``relayctl run FILE`` with the default places /var/lib and /run bound into the test's directory."""

    def __init__(self, home: Path, net: Namespace, text: str):
        self.home, self.net = home, net
        (home / "lib").mkdir()
        (home / "run").mkdir()
        self.file = home / "relay.yaml"
        self.file.write_text(text)
        self.log = home / "log"

    def __enter__(self):
        places = f"mount --bind {self.home}/lib /var/lib && mount --bind {self.home}/run /run"
        command = f"{places} && exec {sys.executable} -m node run {self.file}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.net.command, "unshare", "--mount", "sh", "-c", command], cwd=ROOT, stdout=log, stderr=log
            )
        until(self.ready, 40)
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            assert self.process.wait(40) == 0
        finally:
            self.process.kill()

    def get(self, path: str):
        return Remote(self.home / "run" / "m365-relay" / "admin.sock").get(path)

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/v1/status")["readiness"]["ready"]
        except (OSError, RelayError):
            return False

    def connect(self, port: int, source: str = APPLICATION) -> RawSmtp:
        with self.net.inside():
            return RawSmtp(port, host=APPLICATION, source=source)


@pytest.mark.parametrize("written", [as_documented, as_init_writes])
def test_seven_lines_start_a_working_node(tmp_path, written):
    net = Namespace(f"{APPLICATION}/32", f"{ELSEWHERE}/32")
    with net, Simulated(tmp_path / "sim", directory(["relay1", "relay2"]), command=net.command) as cloud:
        text = written(tmp_path)
        # Only where Microsoft is found is added: as a flow mapping behind the accounts, and the authority to trust.
        ends = "accounts: [relay1@contoso.com, relay2@contoso.com]\n"
        assert ends in text
        place = cloud.cloud()
        text = text.replace(
            ends, f"{ends}  cloud: {{submission: '{place['submission']}', authority: '{place['authority']}'}}\n"
        )
        text += f"egress: {{ca: {cloud.ready['ca']}}}\n"
        with SmallNode(tmp_path, net, text) as node:
            assert node.get("/v1/status")["listeners"] == {"smtp": "*:25", "submission": "*:587"}
            assert "self-signed" in node.log.read_text()
            takes_mail_on_25(node, net, cloud)
            wants_a_login_on_587(node)
            refuses_strangers(node)


def takes_mail_on_25(node: SmallNode, net: Namespace, cloud: Simulated) -> None:
    with node.connect(25) as smtp:
        smtp.hello()
        smtp.starttls()  # optional, with a certificate made at the start
        smtp.expect("250", "EHLO client.test")
        smtp.envelope()
        smtp.send(b"From: app@contoso.com\r\nSubject: seven lines\r\n\r\ntext\r\n.\r\n")
        queue_id = smtp.expect("250").split()[-1]
    until(lambda: node.get(f"/v1/messages/{queue_id}")["recipients"][0]["state"] == "delivered")
    with net.inside():
        assert [one["subject"] for one in cloud.receipts()] == ["seven lines"]


def wants_a_login_on_587(node: SmallNode) -> None:
    with node.connect(587) as smtp:
        assert "AUTH" not in smtp.hello(), "no password in clear"
        smtp.expect("530", "MAIL FROM:<app@contoso.com>")
        smtp.starttls()
        assert "AUTH PLAIN" in smtp.expect("250", "EHLO client.test")
        assert isinstance(smtp.socket, ssl.SSLSocket)
        assert smtp.socket.version() in ("TLSv1.2", "TLSv1.3")
        smtp.expect("530", "MAIL FROM:<app@contoso.com>")


def refuses_strangers(node: SmallNode) -> None:
    with node.connect(25, ELSEWHERE) as smtp:
        smtp.hello()
        smtp.expect("550", "MAIL FROM:<app@contoso.com>")
