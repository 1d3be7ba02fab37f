"""A relay and the simulated Microsoft 365 behind it, put together for a test; and ways to hand mail in and wait."""

import json
import smtplib
import time
from pathlib import Path

from tests.support.relay import RelayProcess
from tests.support.simulated import CLIENT, DOMAIN, SECRET, TENANT, Simulated

WIDE_ACCOUNT = {"limits": {"rate": "1000000/min", "sessions": 100, "recipients": "100000000/24h"}}
QUICK = {"delays": ["1s"], "jitter": 0.0}


def secret_file(home: Path, secret: str = SECRET) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "secret"
    path.touch(mode=0o600)
    path.write_text(secret)
    return path


def settings(cloud: Simulated, home: Path, accounts: dict[str, dict], **changes) -> dict:
    """A configuration of one tenant that leads to the simulator; top-level keys may be laid over it."""
    return {
        "hostname": "relay.test",
        "listeners": {"smtp": {"port": 0, "address": "127.0.0.1", "auth": "none"}},
        "tenant": {
            "id": TENANT,
            "domains": [DOMAIN],
            "app": {"client_id": CLIENT, "secret": {"file": str(secret_file(home))}},
            "service_accounts": {
                f"{name}@{DOMAIN}": {"send_as": [f"*@{DOMAIN}"], **account} for name, account in accounts.items()
            },
            "cloud": cloud.cloud(),
        },
        "plans": {"quick": {"retry": QUICK}},
        "clients": {"apps": client("127.0.0.0/8", plan="quick")},
        "egress": {"ca": cloud.ready["ca"]},
        "intake": {"processes": 1},
        "limits": {"disk_free_low": "1MiB", "disk_free_high": "2MiB"},
        **changes,
    }


def client(network: str, **more) -> dict:
    return {"networks": [network], "senders": [f"*@{DOMAIN}"], "owner": f"owner@{DOMAIN}", **more}


def wide(*names: str) -> dict[str, dict]:
    """Accounts whose limits never bind."""
    return dict.fromkeys(names, WIDE_ACCOUNT)


def relay(cloud: Simulated, home: Path, accounts: dict[str, dict], **changes) -> RelayProcess:
    return RelayProcess(home, unshared(settings(cloud, home, accounts, **changes)))


def unshared(plain: dict) -> dict:
    """The same with no object in two places: YAML would write an anchor for it, which configurations refuse."""
    return json.loads(json.dumps(plain))


def mail(sender: str, recipient: str, subject: str = "hello", body: str = "text\r\n") -> bytes:
    return (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{time.monotonic_ns()}@{DOMAIN}>\r\n\r\n{body}"
    ).encode()


def hand_in(
    port: int, sender: str, recipients: str | list[str], data: bytes | None = None, *, source: str = "127.0.0.1",
    host: str = "127.0.0.1", **header: str,
) -> str:  # fmt: skip
    """Send one message; give the queue id the 250 names."""
    wanted = [recipients] if isinstance(recipients, str) else recipients
    with smtplib.SMTP(host, port, timeout=30, source_address=(source, 0)) as smtp:
        smtp.ehlo("client.test")
        code, text = smtp.mail(sender)
        assert code == 250, text
        for one in wanted:
            code, text = smtp.rcpt(one)
            assert code == 250, text
        code, text = smtp.data(data if data is not None else mail(sender, wanted[0], **header))
    assert code == 250, text
    return text.decode().split()[-1]


def until(check, bound_s: float = 20.0, pause_s: float = 0.03):
    """Wait for ``check()`` to give something true; give it. The last answer is shown when it never does."""
    end = time.monotonic() + bound_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {bound_s} s: {check}"
        time.sleep(pause_s)


def view(node: RelayProcess, queue_id: str) -> dict:
    return node.get(f"/v1/messages/{queue_id}")


def states(node: RelayProcess, queue_id: str) -> list[str]:
    return [one["state"] for one in view(node, queue_id)["recipients"]]


def wait_state(node: RelayProcess, queue_id: str, state: str, bound_s: float = 20.0) -> dict:
    """Wait until every recipient stands in ``state``; give the message."""
    end = time.monotonic() + bound_s
    while True:
        found = view(node, queue_id)
        if all(one["state"] == state for one in found["recipients"]):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.03)


def wait_reason(node: RelayProcess, queue_id: str, reason: str, bound_s: float = 20.0) -> dict:
    """Wait until the first recipient's last reason is ``reason``; give the message."""
    end = time.monotonic() + bound_s
    while True:
        found = view(node, queue_id)
        if found["recipients"][0]["last_reason"] == reason:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.03)


def standings(node: RelayProcess) -> dict[str, dict]:
    """Everything that does not stand healthy, by account or scope."""
    return {way["account"]: way for way in node.get("/v1/accounts") if way["state"] != "healthy"}


def events(found: dict) -> list[str]:
    return [line["event"] for line in found["lines"]]
