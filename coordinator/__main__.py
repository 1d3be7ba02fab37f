"""``relay-coordinator CONFIG [--node NAME]``: the daemon of a cluster. A single node coordinates itself."""

import argparse
import asyncio
import faulthandler
import logging
import sys
from pathlib import Path

from coordinator.daemon import logs
from coordinator.daemon.app import Daemon
from coordinator.daemon.shape import Shape
from coordinator.errors import CoordinatorError, UnfitVersion
from coordinator.notify import Notifier
from coordinator.settings.errors import BadSettings
from coordinator.settings.reader import CoordinatorSettings, load
from coordinator.versions.release import RELEASE, Release

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNFIT = 4

_log = logging.getLogger("coordinator")


def relay_coordinator(arguments: list[str] | None = None) -> None:
    """Run until SIGTERM; exit codes: 0 stopped, 1 failed, 2 wrong use or configuration, 4 unfit version."""
    faulthandler.enable()  # a crash in C code says where each thread was
    sys.exit(main(sys.argv[1:] if arguments is None else arguments))


def main(arguments: list[str], release: Release = RELEASE) -> int:
    """Run until SIGTERM, as the version given; the exit code."""
    parser = argparse.ArgumentParser(prog="relay-coordinator", description="Holds a cluster's virtual addresses.")
    parser.add_argument("config", type=Path, help="the configuration file, the same as the node's")
    parser.add_argument("--node", default=None, help="name of this node; by default the one of this host's name")
    told = parser.parse_args(arguments)
    try:
        settings = load(told.config, told.node)
    except BadSettings as error:
        sys.stderr.write("".join(f"relay-coordinator: {fault}\n" for fault in error.faults))
        return EXIT_USAGE
    logs.configure(settings.log_level)
    for warning in settings.warnings:
        _log.warning(warning)
    return asyncio.run(_serve(settings, told.config, told.node, release))


async def _serve(settings: CoordinatorSettings, config: Path, node: str | None, release: Release) -> int:
    def reread() -> Shape:
        return shape_of(load(config, node))

    try:
        await Daemon(shape_of(settings), reread, Notifier(), release).run()
    except UnfitVersion as error:
        _log.error("cannot run", extra={"cause": str(error)})
        return EXIT_UNFIT
    except CoordinatorError as error:
        _log.error("cannot run", extra={"cause": str(error)})
        return EXIT_FAILED if error.temporary else EXIT_USAGE
    except Exception:  # noqa: BLE001 - told, and systemd starts us anew
        _log.exception("a part of the coordinator failed")
        return EXIT_FAILED
    return 0


def shape_of(settings: CoordinatorSettings) -> Shape:
    """Take what the daemon needs out of the settings."""
    return Shape(
        node=settings.node,
        cluster=settings.cluster,
        addresses=dict(settings.virtual_addresses),
        hash=settings.config_hash,
        runtime=settings.runtime,
        own=settings.own,
    )


if __name__ == "__main__":
    relay_coordinator()
