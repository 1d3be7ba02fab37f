"""``relayctl run`` and ``relay-node``: reads the configuration, runs a node until a signal, gives the exit code."""

import asyncio
import gc
import logging
import sys
from pathlib import Path
from typing import Final

import uvloop

from coordinator.errors import CoordinatorError, UnfitVersion
from coordinator.notify import Notifier
from node.app.node import Node
from node.app.product import PRODUCT, Product
from node.app.signals import handled
from node.errors import ConfigurationError, RelayError
from node.settings.reader import Loaded, load
from node.spool.errors import SpoolTooNew
from node.telemetry.logs import configure

EXIT_FINE: Final = 0
EXIT_PROBLEM: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNFIT: Final = 4
GC_THRESHOLDS: Final = (20_000, 20, 50)
_log = logging.getLogger(__name__)


def run(path: Path, *, node_name: str | None = None, product: Product = PRODUCT) -> int:
    """Run one node, as the version given, until a signal; the exit code.

    0 after a signal, 1 when it cannot go on, 2 when the configuration cannot be used, 4 when the cluster or the spool
    is at a level this version does not know.
    """
    try:
        loaded = load(path, node_name=node_name)
    except ConfigurationError as error:
        for fault in error.faults:
            sys.stderr.write(f"{fault}\n")
        return EXIT_USAGE
    configure(loaded.settings.telemetry.log_level, human=sys.stderr.isatty())
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    try:
        return uvloop.run(_serve(path, node_name, loaded, product))
    except ConfigurationError as error:
        for fault in error.faults:
            _log.error("%s", fault)
        return EXIT_USAGE
    except (UnfitVersion, SpoolTooNew) as error:
        _log.error("%s", error)
        return EXIT_UNFIT
    except (RelayError, CoordinatorError) as error:
        _log.error("%s", error)
        return EXIT_PROBLEM


def settle_collector() -> None:
    """Once everything is built: what lives for ever is not walked again, and young garbage waits to be worth a walk."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _serve(path: Path, node_name: str | None, loaded: Loaded, product: Product) -> int:
    node, notifier = Node(loaded, product), Notifier()

    def ready() -> None:
        places = ", ".join(
            f"{name} on port {port}" for name, port in (node.intake.ports if node.intake else {}).items()
        )
        _log.info("ready: %s", places, extra={"node": loaded.node})
        settle_collector()
        notifier.tell("READY=1")

    def stop() -> None:
        notifier.tell("STOPPING=1")
        node.stop()

    # A loop that hangs keeps connections it has no right to any more: systemd ends it, and the kernel closes them.
    alive = asyncio.create_task(notifier.watch(lambda: 0), name="watchdog")
    try:
        with handled(stop, lambda: _reload(node, path, node_name)):
            await node.run(ready)
    finally:
        alive.cancel()
    return EXIT_FINE


def _reload(node: Node, path: Path, node_name: str | None) -> None:
    """SIGHUP: a configuration that cannot be used changes nothing."""
    try:
        waiting = node.reload(load(path, node_name=node_name))
    except ConfigurationError as error:
        _log.error("not reloaded: the configuration cannot be used")
        for fault in error.faults:
            _log.error("%s", fault)
        return
    for line in waiting:
        _log.warning("waits for a restart: %s", line)
    _log.info("reloaded")
