"""The virtual addresses of this host: each with its driver and its keeper."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv6Address
from typing import Final

from coordinator import candidates
from coordinator.address_facts import Address
from coordinator.asking import Ask
from coordinator.candidates import Field, Standing
from coordinator.daemon.alarms import Alarms
from coordinator.daemon.everybody import Everybody
from coordinator.daemon.farewell import see_out
from coordinator.daemon.readiness import NodeWatch
from coordinator.daemon.shape import Shape, nodes_now
from coordinator.drivers.contract import Driver, DriverError
from coordinator.drivers.hook import HookDriver
from coordinator.drivers.netlink import NetlinkDriver
from coordinator.drivers.probe import ProbeDriver, ProbeServer
from coordinator.early_facts import LATE_V4_MS, LATE_V6_MS, settled_ms
from coordinator.early_keeper import EarlyKeeper, Talk
from coordinator.joining import Joined
from coordinator.keeper import AddressKeeper
from coordinator.place import Place
from coordinator.promise_memory import PromiseMemory
from coordinator.runner import boottime_ms
from coordinator.settings.cluster import VirtualAddress, timing_of
from coordinator.timing import KERNEL_ALLOWANCE_MS, KERNEL_ALLOWANCE_V6_MS, Timing

ANY: Final = "0.0.0.0"  # noqa: S104 - a load balancer's probe comes from anywhere; it learns one bit

_log = logging.getLogger("coordinator")


@dataclass(slots=True, kw_only=True)
class Holding:
    """One address."""

    name: str
    driver: Driver
    keeper: AddressKeeper
    running: bool = False
    """Its keeper decides: before, it makes no promise and shows no progress."""

    async def run(self) -> None:
        """Keep the address until cancelled."""
        self.keeper.progress_ms = boottime_ms()
        self.running = True
        try:
            await self.keeper.run()
        finally:
            self.running = False


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What the addresses are decided by."""

    shape: Callable[[], Shape]
    joined: Joined
    everybody: Everybody
    watch: NodeWatch
    alarms: Alarms
    ask: Ask | None
    talk: Talk
    memory: PromiseMemory
    probes: dict[tuple[str, int], list[ProbeDriver]] = field(default_factory=dict)


def holding(name: str, around: Surroundings) -> Holding:
    """Make driver and keeper of an address. One whose hook may not be run here is never taken here."""
    shape = around.shape()
    about = shape.addresses[name]
    try:
        driver, usable = _driver(name, about, around), True
    except DriverError as error:
        driver, usable = ProbeDriver(name), False  # reaches nothing, and is never told to
        if shape.node in shape.listed(name):
            around.alarms.raise_(f"{name}: {error}", about=name)

    before = around.memory.promises.get(name)

    def alarm(text: str) -> None:
        around.alarms.raise_(text, about=name)

    def remember(to: str, until_ms: int) -> bool:
        try:
            around.memory.keep(name, to, until_ms)
        except OSError as error:
            alarm(f"{name}: a promise cannot be written down: {error.strerror}")
            return False
        return True

    def event(what: str) -> None:
        _log.info("address", extra={"address": name, "what": what})

    place = Place(
        name=name,
        node=shape.node,
        ready=lambda: around.watch.stands,
        fresh=lambda: around.watch.fresh,
        standing=lambda address, resigned: _standing(name, around, address, resigned, usable=usable),
        paused=around.everybody.paused,
        ask=around.ask,
        promised=(before.to, before.until_ms) if before is not None else ("", 0),
        remember=remember,
        started_ms=0 if around.memory.whole else None,
        timing=durations(shape, name),
        part=None if about.driver == "probe" else partial(see_out, around.watch.socket, about.address),
        allowance_ms=KERNEL_ALLOWANCE_V6_MS if isinstance(about.address, IPv6Address) else KERNEL_ALLOWANCE_MS,
        alarm=alarm,
        event=event,
    )
    joined = around.joined
    parts = (place, driver, joined.store, joined.session, joined.feed, joined.keys)
    early = shape.cluster.early_takeover
    keeper = EarlyKeeper(*parts, talk=around.talk) if early else AddressKeeper(*parts)
    return Holding(name=name, driver=driver, keeper=keeper)


def durations(shape: Shape, name: str) -> Timing:
    """Give an address's durations; where it may be taken early, a taker's own end must not cut its wait short."""
    timing = timing_of(shape.cluster, shape.addresses[name])
    late_ms = LATE_V6_MS if isinstance(shape.addresses[name].address, IPv6Address) else LATE_V4_MS
    wait_ms = settled_ms(late_ms) if shape.cluster.early_takeover else 0
    return replace(timing, settled_ms=wait_ms)


def field_of(name: str, around: Surroundings) -> Field:
    """Gather what is known of everybody for one address."""
    shape, everybody = around.shape(), around.everybody
    in_force = everybody.in_force()
    return Field(
        name=name,
        me=shape.node,
        listed=shape.listed(name),
        ready=everybody.ready(),
        draining=everybody.draining(nodes_now(shape, in_force)),
        overdue=everybody.overdue(nodes_now(shape, in_force)),
        prefer=shape.addresses[name].prefer or "",
        wish=everybody.wish(name),
        agreed=agreed(everybody, shape.hash),
        cluster=None if in_force is None else in_force.nodes,
    )


def agreed(everybody: Everybody, own: str) -> bool:
    """Whether all living coordinators have our configuration."""
    members = [everybody.coordinators.get(node) for node in everybody.coordinators.live]
    return all(m is not None and m.record is not None and m.record.config_hash == own for m in members)


async def serve_probes(around: Surroundings) -> list[ProbeServer]:
    """Open the ports load balancers ask at. Raises OSError when one is taken."""
    servers = []
    for (host, port), drivers in around.probes.items():
        server = ProbeServer(tuple(drivers))
        await server.start(host, port)
        servers.append(server)
    return servers


async def clean(holdings: Sequence[Holding], around: Surroundings) -> bool:
    """Remove what an earlier process left of every address, whoever may hold it now; whether all of it was."""
    done = True
    for each in holdings:
        try:
            await each.driver.clean()
        except DriverError as error:
            around.alarms.raise_(f"cleaning up: {error}")
            done = False
    return done


def _standing(name: str, around: Surroundings, address: Address, resigned: str, *, usable: bool) -> Standing:
    found = candidates.standing(field_of(name, around), address, resigned=resigned)
    return found if usable else replace(found, eligible=False)


def _driver(name: str, about: VirtualAddress, around: Surroundings) -> Driver:
    if about.driver == "hook" and about.hook is not None:
        return HookDriver(name, about.address, about.hook)
    if about.driver == "probe" and about.probe is not None:
        driver = ProbeDriver(name)
        host = str(about.probe.address) if about.probe.address is not None else ANY
        around.probes.setdefault((host, about.probe.port), []).append(driver)
        return driver

    def claimed(mac: bytes) -> None:
        around.alarms.raise_(f"{name}: {mac.hex(':')} claims {about.address} too", about=name)

    return NetlinkDriver(about.address, about.interface or "", claimed)
