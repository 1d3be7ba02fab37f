"""``relayctl disaster ledger`` and ``rebuild`` without a node: what they read, and what they refuse."""

import asyncio
import json
import shutil

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from tests.support.disaster import configured, used


def run(*words):
    return CliRunner().invoke(app, ["disaster", *map(str, words)])


def stood_still(home, **what):
    async def main():
        spool = await used(home, **what)
        await spool.close()

    asyncio.run(main())


def ledger_of(home, node="relay-a"):
    return run("ledger", "--config", configured(home), "--node", node)


def test_a_ledger_counts_what_went_out_and_what_was_under_way(tmp_path):
    stood_still(tmp_path, messages=3, begun=2)
    done = ledger_of(tmp_path)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["cluster"], told["node"], told["revision"]) == ("corp-mail", "relay-a", 0)
    assert {place: sum(units.values()) for place, units in told["units"].items()} == {
        "relay@contoso.com/day": 5,
        "contoso/external": 5,
    }


def test_a_ledger_says_how_far_the_node_knew_etcd(tmp_path):
    stood_still(tmp_path, messages=0)
    (tmp_path / "spool/kept").mkdir(exist_ok=True)
    (tmp_path / "spool/kept/members.known").write_text('{"cluster_id": 7, "revision": 4711}')
    assert json.loads(ledger_of(tmp_path).output)["revision"] == 4711


def test_a_node_that_runs_has_no_ledger(tmp_path):
    async def main():
        spool = await used(tmp_path, messages=1)
        try:
            return await asyncio.to_thread(ledger_of, tmp_path)
        finally:
            await spool.close()

    done = asyncio.run(main())
    assert done.exit_code == 1
    assert "in use by process" in done.output


def test_what_a_killed_node_left_in_its_log_counts(tmp_path):
    """The database's log is not copied into it yet, and its index is gone with the machine."""
    there, left = tmp_path / "there", tmp_path / "left"
    there.mkdir()
    left.mkdir()

    async def main():
        spool = await used(there, messages=3)
        shutil.copytree(there / "spool", left / "spool", ignore=shutil.ignore_patterns("*-shm"))
        await spool.close()

    asyncio.run(main())
    assert (left / "spool/spool.sqlite3-wal").stat().st_size > 0
    units = json.loads(ledger_of(left).output)["units"]
    assert sum(units["relay@contoso.com/day"].values()) == 3


def test_a_node_that_never_ran_has_an_empty_one(tmp_path):
    (tmp_path / "spool").mkdir()
    assert json.loads(ledger_of(tmp_path).output)["units"] == {}


def test_a_stranger_is_no_node_of_the_cluster(tmp_path):
    done = ledger_of(tmp_path, "relay-x")
    assert done.exit_code == 2
    assert "relay-x" in done.output


@pytest.fixture
def ledgers(tmp_path):
    stood_still(tmp_path, messages=1)
    files = []
    for node in ("relay-a", "relay-b"):
        files.append(tmp_path / f"{node}.json")
        files[-1].write_text(ledger_of(tmp_path, node).output)
    return files


def rebuild(home, *words):
    return run("rebuild", "--config", configured(home), "--node", "relay-a", *words)


def test_a_reason_is_demanded(tmp_path, ledgers):
    done = rebuild(tmp_path, *ledgers)
    assert done.exit_code == 2
    assert "--reason" in done.output


@pytest.mark.parametrize(
    ("spoil", "wanted"),
    [
        (lambda files: files[:1], "relay-b: no ledger, and not said to be lost (--without relay-b)"),
        (lambda files: [files[0], files[0]], "two ledgers"),
        (lambda files: [files[0].with_name("relay.yaml")], "is no ledger"),
    ],
)
def test_ledgers_that_do_not_make_a_whole_are_refused(tmp_path, ledgers, spoil, wanted):
    done = rebuild(tmp_path, *spoil(ledgers), "--reason", "etcd put back")
    assert done.exit_code == 1
    assert wanted in " ".join(done.output.split())


def test_an_etcd_that_does_not_answer_is_exit_code_3(tmp_path, ledgers):
    done = rebuild(tmp_path, *ledgers, "--reason", "etcd put back")
    assert done.exit_code == 3, done.output
