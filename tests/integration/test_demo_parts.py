"""What the demonstration cluster is made of: processes kept running and ended, a balancer that follows the holder."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from coordinator.drivers.probe import ProbeDriver, ProbeServer
from node.app import demo_balancer, demo_cluster
from node.app.demo_balancer import Back, Balancer
from node.app.demo_cluster import NODES, PLAIN, DemoError, configuration, etcd_binary, services
from node.app.demo_processes import Service, Supervisor
from node.app.drill_network import layout
from node.settings.reader import cluster_hash, load
from node.tls.cluster_ca import ClusterAuthority

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess as s, time; signal.signal(15, signal.SIG_IGN); "  # noqa: ISC004 - one text
    "print(s.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)",
]


async def until(condition, bound_s=20.0):
    async with asyncio.timeout(bound_s):
        while not condition():  # noqa: ASYNC110 - conditions of any kind
            await asyncio.sleep(0.02)


def service(tmp_path, name="one", command=SLEEP, rank=0):
    return Service(name=name, command=command, log=tmp_path / f"{name}.log", cwd=tmp_path, rank=rank)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_process_that_ends_is_said_and_comes_back(tmp_path):
    said = []
    one = service(tmp_path)
    supervisor = Supervisor([one], said.append, restart_s=0.2)
    await supervisor.start()
    first = int((tmp_path / "one.pid").read_text())
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(said) == 2)
    second = int((tmp_path / "one.pid").read_text())
    assert second != first
    assert alive(second)
    assert said[0].startswith("one ended (SIGKILL)")
    await supervisor.close()
    assert not alive(second)


async def test_everything_ends_highest_rank_first_even_what_was_stopped(tmp_path):
    ends = tmp_path / "ends"
    code = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_): open({str(ends)!r}, 'a').write(sys.argv[1]); sys.exit(0)\n"
        "signal.signal(15, end); print('up', flush=True); time.sleep(600)"
    )
    made = [service(tmp_path, str(rank), [sys.executable, "-c", code, str(rank)], rank) for rank in (0, 2, 1)]
    supervisor = Supervisor(made, lambda _: None)
    await supervisor.start()
    await until(lambda: all("up" in each.log.read_text() for each in made))
    os.kill(made[1].process.pid, signal.SIGSTOP)
    await supervisor.close()
    assert ends.read_text() == "210"


async def test_whoever_ignores_the_end_is_killed_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr("node.app.demo_processes.END_S", 0.3)
    one = service(tmp_path, command=STUBBORN)
    supervisor = Supervisor([one], lambda _: None)
    await supervisor.start()
    await until(lambda: one.log.read_text().strip().isdigit())
    child = int(one.log.read_text())
    await supervisor.close()
    assert not alive(one.process.pid)
    await until(lambda: not alive(child))


def test_if_the_demonstration_is_killed_the_kernel_ends_the_rest(tmp_path):
    code = (
        "import asyncio, pathlib, sys\n"
        "from node.app.demo_processes import Service, Supervisor\n"
        "async def main():\n"
        f"    place = pathlib.Path({str(tmp_path)!r})\n"
        f"    one = Service(name='one', command={SLEEP!r}, log=place / 'one.log', cwd=place)\n"
        "    await Supervisor([one], print).start()\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        end = time.monotonic() + 20
        pid_file = tmp_path / "one.pid"
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        child = int(pid_file.read_text())
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()
    while alive(child):
        assert time.monotonic() < end
        time.sleep(0.02)


# -- the balancer


class Host:
    """One node: a probe and a greeting that names it."""

    def __init__(self, name):
        self.name, self.driver = name, ProbeDriver("smtp")
        self.probe = ProbeServer((self.driver,))

    async def start(self):
        self.probe_port = await self.probe.start("127.0.0.1", 0)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return Back(host="127.0.0.1", port=port, probe_port=self.probe_port)

    async def _serve(self, reader, writer):
        writer.write(f"220 {self.name}\r\n".encode())
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    async def close(self):
        await self.probe.close()
        self.server.close()


@pytest.fixture
async def balanced():
    hosts = [Host("a"), Host("b")]
    backs = {host.name: await host.start() for host in hosts}
    balancer = Balancer("smtp", "127.0.0.1", 0, backs, resets=True)
    await balancer.start()
    yield balancer, hosts, balancer._server.sockets[0].getsockname()[1]
    await balancer.close()
    for host in hosts:
        await host.close()


async def say(port, text=b"hello\r\n"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            greeting = await reader.readline()
            if not greeting:
                return "", ""
            writer.write(text)
            return greeting.decode().strip(), (await reader.readline()).decode().strip()
    finally:
        writer.close()


async def test_clients_reach_whoever_holds_the_address(balanced):
    balancer, (a, b), port = balanced
    assert await say(port) == ("", "")  # nobody holds it: closed, not hung
    await a.driver.bind(60)
    await until(lambda: balancer.holder == "a")
    assert await say(port) == ("220 a", "HELLO")
    await a.driver.remove()
    await b.driver.bind(60)
    await until(lambda: balancer.holder == "b")
    assert await say(port) == ("220 b", "HELLO")
    await b.driver.remove()
    await until(lambda: balancer.holder == "")


async def test_once_the_address_has_moved_nothing_hangs_at_who_held_it(balanced, monkeypatch):
    monkeypatch.setattr(demo_balancer, "MOVED_S", 0.3)
    balancer, (a, b), port = balanced
    await a.driver.bind(60)
    await until(lambda: balancer.holder == "a")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readline() == b"220 a\r\n"
    await a.driver.remove()
    await b.driver.bind(60)
    await until(lambda: balancer.holder == "b")
    other, other_writer = await asyncio.open_connection("127.0.0.1", port)
    assert await other.readline() == b"220 b\r\n"
    async with asyncio.timeout(10):
        assert await reader.read() == b"", "its client would have waited for a frozen node"
    other_writer.write(b"still\r\n")
    assert await other.readline() == b"STILL\r\n"
    for each in (writer, other_writer):
        each.close()


async def test_a_holder_that_vanishes_is_noticed_and_an_open_connection_ends(balanced):
    balancer, (a, _), port = balanced
    await a.driver.bind(60)
    await until(lambda: balancer.holder == "a")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    await a.close()
    await until(lambda: balancer.holder == "")
    assert await say(port) == ("", "")
    writer.close()


# -- the configuration


READY = {
    "tenant": "8f2c1a0e-0000-4000-8000-000000000000",
    "client": "1b7d2c3e-0000-4000-8000-000000000000",
    "host": "127.0.0.1",
    "smtp": 5871,
    "entra": "https://127.0.0.1:4431",
}


@pytest.mark.parametrize("made", [lambda _: PLAIN, layout], ids=["demo", "drill"])
def test_all_three_configurations_can_be_used_and_agree(tmp_path, made):
    authority = ClusterAuthority.create("demo")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "simulator-secret").write_text("secret")
    hashes = set()
    for node, address in NODES.items():
        authority.write(tmp_path / node / "pki", node, addresses=[address])
        plain = configuration(tmp_path, node, {**READY, "ca": str(tmp_path / "ca.pem")}, layout=made(tmp_path))
        file = tmp_path / node / "relay.yaml"
        file.write_text(yaml.safe_dump(plain, sort_keys=False))
        loaded = load(file, node_name=node)
        hashes.add((cluster_hash(loaded.settings), loaded.coordination_hash))
    assert len(hashes) == 1


def test_every_process_of_a_node_and_etcd_with_certificates(tmp_path):
    made = services(tmp_path, "/usr/bin/etcd")
    assert len(made) == 9
    assert [each.rank for each in made[:3]] == [0, 1, 2]
    assert "--client-cert-auth" in made[0].command


def test_without_any_etcd_it_says_what_to_do(monkeypatch):
    monkeypatch.delenv("ETCD", raising=False)
    monkeypatch.setattr(demo_cluster.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(demo_cluster.shutil, "which", lambda _: None)
    with pytest.raises(DemoError, match="make demo"):
        etcd_binary()
    monkeypatch.setenv("ETCD", "/opt/etcd")
    assert etcd_binary() == "/opt/etcd"
