"""A node of a cluster that stands still: its configuration and a spool with attempts of today."""

import time
from pathlib import Path

from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import accepted, attempt, message, settlement

CONFIGURATION = """
cluster:
  name: corp-mail
  nodes:
    relay-a: {{site: dc1, address: 127.0.0.11}}
    relay-b: {{site: dc1, address: 127.0.0.12}}
  etcd: ["http://{etcd}"]
  pki: {home}/pki
spool: {home}/spool
tenant:
  id: 8f2c1a0e-0000-4000-8000-000000000000
  domains: [contoso.com]
  app: {{client_id: 1b7d2c3e-0000-4000-8000-000000000000, secret: {{credential: app-secret}}}}
  service_accounts: [relay@contoso.com]
clients:
  apps: {{networks: [10.1.0.0/16], senders: ["*@contoso.com"], owner: it@contoso.com}}
"""


def configured(home: Path, etcd: str = "127.0.0.1:1") -> Path:
    file = home / "relay.yaml"
    file.write_text(CONFIGURATION.format(home=home, etcd=etcd))
    return file


async def used(home: Path, *, messages: int, begun: int = 0) -> SqliteSpool:
    """Give an open spool in which so many messages went out just now; *begun*: as many more were under way."""
    now_ms = time.time_ns() // 1_000_000
    spool = SqliteSpool(home / "spool", now_ms=lambda: now_ms, allow_network=True)
    await spool.open(now_ms)
    for number in range(messages + begun):
        made = message(received_ms=now_ms)
        await spool.append(accepted(made))
        start = attempt(made, at_ms=now_ms)
        await spool.claim(start)
        await spool.intend(start.attempt_id, now_ms)
        if number < messages:
            await spool.settle(settlement(start, at_ms=now_ms))
    return spool
