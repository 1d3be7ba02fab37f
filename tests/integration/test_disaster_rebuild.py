"""A real etcd put back to an older copy counts again what two nodes know they used since."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from tests.support.disaster import configured, used
from tests.support.etcd_cluster import EtcdCluster

KEY = "/m365-relay/corp-mail/budget/relay@contoso.com/day"


@pytest.fixture
def etcd(tmp_path):
    made = EtcdCluster(tmp_path, size=1)
    try:
        yield made.start()
    finally:
        made.close()


def run(*words):
    done = CliRunner().invoke(app, ["disaster", *map(str, words)])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_what_was_used_since_the_copy_counts_again(tmp_path, etcd):
    etcd.ctl("put", KEY, json.dumps({"0": 4, "by/relay-a": 3}))
    restore = etcd.members[0].copy()
    etcd.wait_healthy()
    for _ in range(20):  # what happened since, and is forgotten
        etcd.ctl("put", KEY, json.dumps({"0": 99}))
    known = json.loads(etcd.ctl("get", KEY, "-w", "json"))["header"]["revision"]
    restore()
    etcd.wait_healthy()
    ledgers = []
    for node, messages in (("relay-a", 3), ("relay-b", 2)):
        home = tmp_path / node
        home.mkdir()
        asyncio.run(_stood_still(home, messages))
        (home / "spool/kept").mkdir(exist_ok=True)
        (home / "spool/kept/members.known").write_text(json.dumps({"cluster_id": 1, "revision": known}))
        config = configured(home, etcd.endpoints()[0])
        ledgers.append(home / "ledger.json")
        ledgers[-1].write_text(json.dumps(run("ledger", "--config", config, "--node", node)))
    words = ("--config", config, "--node", "relay-b", *ledgers, "--reason", "etcd put back", "--json")
    told = run("rebuild", *words)
    assert told["raised"] == ["contoso/external", "relay@contoso.com/day"]
    assert told["revision"] > known
    record = json.loads(etcd.ctl("get", "--print-value-only", KEY))
    assert (record.pop("0"), record.pop("by/relay-a"), sum(record.values())) == (4, 3, 5)
    assert run("rebuild", *words)["raised"] == []
    (file,) = (home / "spool/audit").iterdir()
    assert json.loads(file.read_text().splitlines()[0])["event"] == "etcd rebuilt"


async def _stood_still(home, messages):
    spool = await used(home, messages=messages)
    await spool.close()
