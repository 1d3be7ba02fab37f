"""``relayctl demo``: three nodes, three etcd members and a simulated Microsoft 365 on this machine, under ./var/demo.

Certificates come from an authority made for the occasion. The virtual address is a small load balancer that asks the
coordinators' probes. Nothing needs root. Everything ends with this process, however it ends.
"""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from node.app import demo
from node.app.demo_balancer import Back, Balancer
from node.app.demo_cluster import (
    ADDRESS,
    ADDRESS_NAME,
    CLUSTER,
    NODES,
    PLAIN,
    PORT,
    PROBE_PORT,
    DemoError,
    Layout,
    configuration,
    etcd_binary,
    services,
)
from node.app.demo_processes import Service, Supervisor
from node.cli.remote import SOCKET_NAME, Remote
from node.errors import RelayError
from node.tls.cluster_ca import ClusterAuthority, write_private

HOME: Final = Path("var/demo")
READY_S: Final = 120.0
LOOK_S: Final = 0.1


def demo_cluster() -> int:
    """Run until a signal; 0 then. Raises RelayError when it cannot run here."""
    etcd = etcd_binary()
    home = HOME.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(home):
        clean(home)
        secret = secrets.token_urlsafe(24)
        write_private(home / "simulator-secret", secret.encode())
        with demo.simulator(home, secret) as ready:
            write_configurations(home, lambda node: configuration(home, node, ready))
            return asyncio.run(_run(home, etcd, ready))


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold a lock: two demonstrations would use the same addresses and files."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"a demonstration runs already in {home}") from None
        yield


def clean(home: Path) -> None:
    """Forget the last demonstration: etcd and spools belong together, and both begin anew."""
    for name in (*NODES, "simulator", "received"):
        shutil.rmtree(home / name, ignore_errors=True)


def write_configurations(home: Path, configured: Callable[[str], dict[str, Any]]) -> None:
    """Write every node's configuration, as ``configured`` gives it by name, and certificates of a new authority."""
    authority = ClusterAuthority.create(CLUSTER)
    for node, address in NODES.items():
        plain = configured(node)
        bound = plain["cluster"].get("bind", address)
        authority.write(home / node / "pki", node, addresses=sorted({address, bound}))
        write_private(home / node / "relay.yaml", yaml.safe_dump(plain, sort_keys=False).encode())


async def _run(home: Path, etcd: str, ready: dict[str, Any]) -> int:
    stop = stopped_by_signals()
    async with running(home, etcd, _say) as (_, balancer):
        _say("starting three nodes; this takes some seconds")
        if await until_ready(home, balancer, stop):
            sys.stderr.write(_welcome(home, ready))
        await stop.wait()
        _say("ending everything")
    return 0


def stopped_by_signals() -> asyncio.Event:
    """Give what is set once this process is told to end."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def running(
    home: Path, etcd: str, say: Callable[[str], None], layout: Layout = PLAIN
) -> AsyncIterator[tuple[list[Service], Balancer]]:
    """Run all processes and the balancer. Raises DemoError where the address cannot be used."""
    every = services(home, etcd, layout)
    supervisor = Supervisor(every, say)
    backs = {node: Back(host=own, port=PORT, probe_port=PROBE_PORT) for node, own in NODES.items()}
    balancer = Balancer(ADDRESS_NAME, ADDRESS, PORT, backs, resets=True)
    try:
        try:
            await balancer.start()
        except OSError as error:
            raise DemoError(f"{ADDRESS}:{PORT} cannot be used: {error.strerror}") from None
        await supervisor.start()
        yield every, balancer
    finally:
        await balancer.close()
        await supervisor.close()


async def until_ready(home: Path, balancer: Balancer, stop: asyncio.Event, ready_s: float = READY_S) -> bool:
    """Wait until every node is ready and the address has a holder; False when told to stop meanwhile."""
    until_s = asyncio.get_running_loop().time() + ready_s
    waiting = set(NODES)
    while (waiting or not balancer.holder) and not stop.is_set():
        said = await asyncio.gather(*(asyncio.to_thread(is_ready, home, node) for node in sorted(waiting)))
        waiting -= {node for node, is_ready in zip(sorted(waiting), said, strict=True) if is_ready}
        if asyncio.get_running_loop().time() > until_s:
            what = f"not ready: {', '.join(sorted(waiting))}" if waiting else "nobody holds the virtual address"
            raise DemoError(f"after {ready_s:.0f} s {what}; see {home}/*/node.log, coordinator.log, etcd.log")
        await asyncio.sleep(LOOK_S)
    return not stop.is_set()


def is_ready(home: Path, node: str) -> bool:
    """Whether a node says that it is."""
    try:
        seen = Remote(home / node / "run" / SOCKET_NAME).get("/ready")
    except RelayError:
        return False
    return bool(isinstance(seen, dict) and seen.get("ready"))


def _say(text: str) -> None:
    sys.stderr.write(f"demo: {text}\n")


def _welcome(home: Path, ready: dict[str, Any]) -> str:
    first, second, *_ = NODES
    place = os.path.relpath(home)
    sockets = f"{place}/{first}/run/admin.sock"
    nodes = "\n".join(
        f"  {node}  {own}:{PORT}   configuration and logs in {place}/{node}" for node, own in NODES.items()
    )
    return f"""
Three nodes, three etcd members, and a simulated Microsoft 365 behind them:
{nodes}
  {ADDRESS}:{PORT} leads to whoever holds the virtual address `{ADDRESS_NAME}`.

  export PATH={Path(sys.executable).parent}:$PATH RELAY_SOCKET={sockets}
  send     swaks --server {ADDRESS}:{PORT} --from app@{demo.DOMAIN} --to someone@example.com
           or, without swaks: python3 -c 'import smtplib as s; print(s.SMTP("{ADDRESS}", {PORT}).sendmail(
           "app@{demo.DOMAIN}", "someone@example.com", "From: app@{demo.DOMAIN}\\nSubject: hello\\n\\nhello"))'
  look     relayctl status          relayctl top          relayctl budget          relayctl vip list
  move     relayctl vip move {ADDRESS_NAME} --to {second} --reason "trying it"
  kill     kill -9 $(cat {place}/{first}/node.pid)     it comes back after 15 s; look from {second}:
           relayctl status --socket {place}/{second}/run/admin.sock
  pause    relayctl pause --for 10m --reason "storage work"        relayctl pause --end --reason "done"
  park     relayctl account park relay1@{demo.DOMAIN} --reason "new password"     (on all three nodes)
  silence  kill -STOP $(cat {place}/*/etcd.pid)     etcd is silent; kill -CONT … brings it back
  there    {ready["control"]}/receipts       what the simulated Microsoft received

Ctrl-C ends everything.
"""
