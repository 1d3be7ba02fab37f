"""``relayctl run`` without a configuration: the simulated Microsoft 365 and a relay in front of it, under ./var.

The simulator runs as a process of its own, as Microsoft would; it ends with the relay.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from node.app.demo_processes import die_with_parent
from node.errors import TemporaryError

HOME: Final = Path("var")
SMTP_PORT: Final = 2525
ADMIN_PORT: Final = 8025
MAILBOXES: Final = ("relay1", "relay2")
DOMAIN: Final = "contoso.com"
END_S: Final = 10.0


class SimulatorFailedError(TemporaryError):
    """The simulator did not start."""


@contextmanager
def simulator(
    home: Path, secret: str, mailboxes: Sequence[str] = MAILBOXES, more: Sequence[str] = ("--latency", "300ms")
) -> Iterator[dict[str, Any]]:
    """Run the simulator; gives what it said of itself: ports, CA, tenant, client. ``secret`` is the app's."""
    arguments = ["--tls", str(home / "simulator"), "--domain", DOMAIN, "--keep", str(home / "received")]
    for mailbox in mailboxes:
        arguments += ["--mailbox", mailbox]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
        [sys.executable, "-m", "node.rehearsal", "m365", *arguments, *more],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the relay, which then ends the simulator
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread runs yet
        env={**os.environ, "REHEARSAL_SECRET": secret},
    )
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        line = process.stdout.readline()
        if not line.startswith("{"):
            raise SimulatorFailedError(f"the simulator did not start: {line.strip() or 'it said nothing'}")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def configuration(home: Path, ready: dict[str, Any], mailboxes: Sequence[str] = MAILBOXES) -> dict[str, Any]:
    """Give the demo's configuration as it is written to ``var/relay.yaml``."""
    return {
        "hostname": "relay.demo.test",
        "spool": str(home / "spool"),
        "runtime": str(home / "run"),
        "listeners": {
            "smtp": {"port": SMTP_PORT, "address": "127.0.0.1", "auth": "none"},
        },
        "tenant": {
            "id": ready["tenant"],
            "domains": [DOMAIN],
            "app": {"client_id": ready["client"], "secret": {"file": str(home / "simulator-secret")}},
            "service_accounts": {f"{name}@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"]} for name in mailboxes},
            "cloud": {
                "submission": f"{ready['host']}:{ready['smtp']}",
                "authority": ready["entra"],
            },
        },
        "clients": {
            "demo": {
                "networks": ["127.0.0.0/8", "::1/128"],
                "senders": [f"*@{DOMAIN}"],
                "owner": f"demo@{DOMAIN}",
                "trace": True,
            }
        },
        "egress": {"ca": ready["ca"]},
        "telemetry": {"otlp": os.environ["OTLP"]} if os.environ.get("OTLP") else {},
        "admin": {"port": ADMIN_PORT},
    }


def demo(run: Callable[[Path], int]) -> int:
    """Start both and run until a signal."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    home = HOME.resolve()
    secret = secrets.token_urlsafe(24)
    secret_file = home / "simulator-secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text(secret, encoding="utf-8")
    with simulator(home, secret) as ready:
        path = home / "relay.yaml"
        path.write_text(yaml.safe_dump(configuration(home, ready), sort_keys=False), encoding="utf-8")
        sys.stderr.write(_welcome(ready))
        return run(path)


def _welcome(ready: dict[str, Any]) -> str:
    return f"""\
A relay on 127.0.0.1:{SMTP_PORT} with a simulated Microsoft 365 behind it (configuration: var/relay.yaml).
  send:    swaks --server 127.0.0.1:{SMTP_PORT} --from app@{DOMAIN} --to someone@example.com
  follow:  relayctl trace ID            (the id is in the 250)
  look:    relayctl status, relayctl budget, http://127.0.0.1:{ADMIN_PORT}/ready
  there:   {ready["control"]}/receipts  (what the simulated Microsoft received; files in var/received)
Ctrl-C ends both.
"""
