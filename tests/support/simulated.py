"""The simulated Microsoft 365 as a process of its own: started from a directory, scripted and asked over HTTP."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Self

import yaml

TENANT = "8f2c1a0e-0000-4000-8000-000000000000"
CLIENT = "1b7d2c3e-0000-4000-8000-000000000000"
SECRET = "a secret of the simulator"
DOMAIN = "contoso.com"
WIDE = {"rate": "1000000/min", "sessions": 100, "recipients": "100000000/24h"}


def directory(mailboxes: list[str], *, limits: dict | None = None, timing: dict | None = None, **tenant) -> dict:
    """One tenant with one application, as ``rehearse m365 --directory`` reads it."""
    spec = {
        "domains": [DOMAIN],
        "apps": {CLIENT: {"secrets": [SECRET]}},
        "mailboxes": {f"{name}@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"]} for name in mailboxes},
        **tenant,
    }
    return {"tenants": {TENANT: spec}, "limits": limits or {}, "timing": timing or {}}


class Simulated:
    """``with Simulated(home, directory([...])) as cloud``; ``command`` before it runs it elsewhere (a namespace)."""

    def __init__(self, home: Path, plain: dict, *options: str, keep: bool = False, command: tuple[str, ...] = ()):
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        file = home / "directory.yaml"
        file.write_text(yaml.safe_dump(plain))
        self.kept = home / "received"
        keeping = ["--keep", str(self.kept)] if keep else []
        self.command = [
            *command, sys.executable, "-m", "node.rehearsal", "m365", "--directory", str(file),
            "--tls", str(home / "tls"), *keeping, *options,
        ]  # fmt: skip
        self.ready: dict = {}

    def __enter__(self) -> Self:
        with (self.home / "simulator.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True,
                start_new_session=True, env={**os.environ, "REHEARSAL_SECRET": SECRET},
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert line.startswith("{"), (self.home / "simulator.log").read_text()
        self.ready = json.loads(line)
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    @property
    def smtp(self) -> str:
        return f"{self.ready['host']}:{self.ready['smtp']}"

    def cloud(self) -> dict:
        """The tenant's ``cloud:`` that leads here."""
        return {"submission": self.smtp, "authority": self.ready["entra"], "graph": self.ready["graph"]}

    def ask(self, path: str, method: str = "GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.ready["control"] + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
        return [json.loads(line) for line in text.splitlines()] if path == "/deliveries" else json.loads(text)

    def stats(self) -> dict:
        return self.ask("/stats")

    def receipts(self, message: str = "") -> list[dict]:
        return self.ask(f"/receipts?limit=10000&id={message}")

    def script(self, *steps: dict) -> None:
        """Replace the scripted faults."""
        self.ask("/script", "PUT", list(steps))

    def acted(self) -> list[int]:
        """How often each scripted step acted."""
        return [step["acted"] for step in self.ask("/script")]

    def body(self, receipt: dict) -> bytes:
        """The message as received (needs ``keep``)."""
        return (self.kept / receipt["file"]).read_bytes()
