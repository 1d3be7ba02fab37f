"""The load generator against the simulator: a ledger that reconciles, through cuts, refusals and a dead relay."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from node.rehearsal.load.client import Result, Target
from node.rehearsal.load.ledger import LedgerWriter, read_ledger
from node.rehearsal.load.plan import Plan, Tls, draft, read_priorities, read_sizes, render
from node.rehearsal.load.reconcile import reconcile
from node.rehearsal.load.runner import Load, Pace
from node.rehearsal.load.sources import read_arrivals
from node.rehearsal.simulator.directory import Directory, SmartHost
from node.rehearsal.simulator.script import read_steps
from node.rehearsal.simulator.server import Ports, Simulator


def plan(count=50, **changes):
    options = {"senders": ("app{n}@contoso.com",), "recipients": ("to{n}@example.com",), "run": "t"}
    return Plan(count=count, **{**options, **changes})


async def run(simulator, ledger, what, pace=None, **target):
    aim = Target(host="localhost", port=simulator.smtp_port, timeout_s=5.0, **target)
    with LedgerWriter(ledger) as writer:
        return await Load(what, (aim,), pace or Pace(sessions=4, back_off_s=0.001), writer).run()


def simulator(*steps, **smarthost):
    return Simulator(Directory(smarthost=SmartHost(**smarthost)), steps=read_steps(list(steps), "test"))


async def compared(simulated, ledger):
    arrivals = await asyncio.to_thread(read_arrivals, simulated.control_url)
    return reconcile(read_ledger(ledger), arrivals)


@pytest.mark.parametrize("per_connection", [0, 1])
async def test_everything_sent_arrives_once(tmp_path, per_connection):
    async with simulator() as simulated:
        pace = Pace(sessions=4, per_connection=per_connection)
        stats = await run(simulated, tmp_path / "l", plan(recipients_each=3), pace)
        assert stats["accepted"] == 50
        assert stats["connections"] == (50 if per_connection else 4)
        result = await compared(simulated, tmp_path / "l")
        assert (result.accepted, result.delivered) == (150, 150)
        assert (result.lost, result.duplicated, result.extra) == ([], [], [])
        assert all(entry.recipients and entry.reply for entry in read_ledger(tmp_path / "l"))


async def test_cut_answers_are_tried_again_and_the_duplicates_explained(tmp_path):
    steps = (
        {"at": "dot", "times": 3, "cut": True},
        {"at": "rcpt", "skip": 5, "times": 2, "cut": True},
        {"at": "dot", "times": 4, "reply": "451 4.3.2 later"},
        {"at": "banner", "times": 1, "reply": "421 4.3.2 busy"},
    )
    async with simulator(*steps) as simulated:
        stats = await run(simulated, tmp_path / "l", plan())
        assert (stats["accepted"], stats["unknown"], stats["lost"], stats["deferred"]) == (50, 3, 2, 4)
        assert stats["connect_refused_421"] == 1
        result = await compared(simulated, tmp_path / "l")
        assert len(result.duplicated) == 3
        assert result.unexplained == 0
        assert not result.lost
        assert result.duplicated[0].attempts[0].result is Result.UNKNOWN


async def test_what_the_receiver_lost_is_found(tmp_path):
    async with simulator({"at": "dot", "times": 2, "reply": "250 2.0.0 queued as Q1", "accepted": False}) as simulated:
        await run(simulated, tmp_path / "l", plan())
        result = await compared(simulated, tmp_path / "l")
        assert len(result.lost) == 2
        assert result.lost[0].queue_id == "Q1"


async def test_refusals_are_final(tmp_path):
    async with simulator({"at": "mail", "times": 5, "reply": "550 5.7.1 no"}) as simulated:
        stats = await run(simulated, tmp_path / "l", plan())
        assert (stats["accepted"], stats["refused"]) == (45, 5)


async def test_a_relay_that_comes_back_gets_the_rest(tmp_path):
    """The same ports die and return; nothing promised is lost, what was in flight is tried again."""
    first = simulator()
    await first.start()
    pace = Pace(sessions=4, per_second=200.0, back_off_s=0.01, back_off_longest_s=0.05)
    what = plan(count=100)
    task = asyncio.create_task(run(first, tmp_path / "l", what, pace))
    async with asyncio.timeout(10):
        while first.hub.receipts.accepted < 20:  # noqa: ASYNC110 - the books announce nothing
            await asyncio.sleep(0.005)
    before = list(first.hub.receipts.deliveries())
    await first.stop()
    before = list(first.hub.receipts.deliveries()) or before
    again = Simulator(Directory(smarthost=SmartHost()), ports=Ports(smtp=first.smtp_port))
    async with again:
        stats = await asyncio.wait_for(task, 30)
        assert stats["accepted"] == 100
        lines = [json.dumps(one) for one in (*before, *again.hub.receipts.deliveries())]
        merged = {}
        for one in map(json.loads, lines):
            counts = merged.setdefault(one["id"], {"id": one["id"], "recipients": {}, "unanswered": one["unanswered"]})
            for recipient, count in one["recipients"].items():
                counts["recipients"][recipient] = counts["recipients"].get(recipient, 0) + count
        (tmp_path / "arrivals").write_text("\n".join(json.dumps(one) for one in merged.values()))
        result = reconcile(read_ledger(tmp_path / "l"), read_arrivals(str(tmp_path / "arrivals")))
        assert not result.lost
        assert result.unexplained == 0


@pytest.mark.parametrize("tls", [Tls.NONE, Tls.STARTTLS])
async def test_login_and_starttls_with_the_name_verified(tmp_path, tls):
    import ssl

    async with simulator(users={"app": "pw"}, tls="optional") as simulated:
        context = ssl.create_default_context(cafile=str(simulated.ca_file))
        stats = await run(simulated, tmp_path / "l", plan(), tls=tls, context=context, user="app", password="pw")
        assert stats["accepted"] == 50
        assert simulated.hub.receipts.latest[0].account == "app"


async def test_a_wrong_name_is_not_talked_to(tmp_path):
    import ssl

    async with simulator(tls="optional") as simulated:
        context = ssl.create_default_context(cafile=str(simulated.ca_file))
        pace = Pace(sessions=1, back_off_s=0.01, give_up_s=0.2)
        stats = await run(
            simulated,
            tmp_path / "l",
            plan(count=1),
            pace,
            tls=Tls.STARTTLS,
            context=context,
            server_name="evil.example",
        )
        assert stats["given_up"] == 1
        assert simulated.hub.receipts.accepted == 0


def test_the_same_number_is_always_the_same_message():
    what = plan(sizes=read_sizes("1KiB:1,64KiB:1"), priorities=read_priorities("urgent:1,bulk:3"), seed=3)
    drafts = [draft(what, n) for n in range(400)]
    assert drafts == [draft(what, n) for n in range(400)]
    assert {one.size_bytes for one in drafts} == {1024, 65536}
    assert 60 < sum(one.priority == "urgent" for one in drafts) < 140
    for one in drafts[:5]:
        assert abs(len(render(one, 1, "now")) - one.size_bytes) <= 80
        assert max(map(len, render(one, 1, "now").split(b"\r\n"))) < 998


def command(*arguments, **options):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "node.rehearsal", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        **options,
    )


def test_the_three_commands_together(tmp_path):
    script = tmp_path / "faults.yaml"
    script.write_text("- {at: dot, times: 1, cut: true}\n")
    with command("m365", "--smarthost", "--script", str(script), "--stats", str(tmp_path / "stats.json")) as serving:
        try:
            ready = json.loads(serving.stdout.readline())
            load = command(
                "load", "--server", f"127.0.0.1:{ready['smtp']}", "--ledger", str(tmp_path / "l"), "--count", "40"
            )
            out, err = load.communicate(timeout=60)
            assert load.returncode == 0, err
            assert json.loads(out)["accepted"] == 40
        finally:
            serving.terminate()
            serving.communicate(timeout=30)
    check = command("reconcile", str(tmp_path / "l"), str(tmp_path / "stats.json"), "--json")
    out, err = check.communicate(timeout=60)
    assert check.returncode == 0, err
    result = json.loads(out)
    assert (result["delivered"], len(result["duplicated"]), result["unexplained"]) == (40, 1, 0)
    report = json.loads((tmp_path / "stats.json").read_text())
    report["deliveries"] = report["deliveries"][1:]
    (tmp_path / "less.json").write_text(json.dumps(report))
    worse = command("reconcile", str(tmp_path / "l"), str(tmp_path / "less.json"))
    out, _ = worse.communicate(timeout=60)
    assert worse.returncode == 1
    assert b"lost        1" in out


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("--directory", "tenants: {t: {domains: 3}}\nlimits: {rate: fast}\n", b"limits.rate"),
        ("--script", "- {at: never}", b"at"),
    ],
)
def test_bad_files_are_told_with_their_place(tmp_path, name, text, word):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    refused = command("m365", name, str(path))
    _, err = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert word in err
    assert b"bad.yaml" in err
