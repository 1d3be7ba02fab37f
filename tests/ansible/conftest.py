"""Ansible for the tests, in an environment of its own: the product does not need it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.lab import Lab
from tests.ansible.support import COLLECTION, Ansible
from tests.ansible.world import World

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_S = 120


@pytest.fixture(scope="session")
def ansible(tmp_path_factory) -> Ansible:
    """Give Ansible with this collection; skipped where it cannot be installed in time."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / f"m365-relay-ansible-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (home / "complete").exists():
            try:
                _install(home)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"Ansible cannot be installed here: {error}")
        _this_checkout(home)
    return Ansible(home, tmp_path_factory.mktemp("ansible"))


@pytest.fixture(scope="session")
def world(ansible) -> Iterator[World]:
    """Three fresh hosts and a fourth; taken down at the end."""
    lab = Lab()
    lab.close()
    try:
        made = World(lab, ansible)
        made.prepare()
        yield made
    finally:
        lab.close()


@pytest.fixture(scope="session")
def cluster(world) -> World:
    """The cluster as site.yml makes it of fresh hosts. Each test leaves it whole: the next one takes it as it is."""
    world.play("site.yml").fine()
    world.whole()
    return world


def _install(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    pip = (str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-q")
    core, community = _split(REQUIREMENTS.read_text())
    for command in (
        (sys.executable, "-m", "venv", str(home)),
        (*pip, "install", *core),
        (*pip, "download", "--no-deps", "-d", str(home / "community"), *community),
    ):
        # What lies on somebody's PYTHONPATH is not in this environment, though pip would think so.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(command, check=True, timeout=INSTALL_S, capture_output=True, env=env)
    # The package `ansible` holds a hundred collections, of which one is needed.
    for wheel in (home / "community").glob("ansible-*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            wanted = [name for name in packed.namelist() if name.startswith("ansible_collections/community/crypto/")]
            packed.extractall(home / "collections", wanted)
    shutil.rmtree(home / "community")
    (home / "complete").touch()


def _this_checkout(home: Path) -> None:
    """The collection under test is this checkout's, whoever installed the rest."""
    link = home / "collections/ansible_collections/m365_relay/relay"
    if not link.is_symlink() or link.readlink() != COLLECTION:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(COLLECTION)


def _split(text: str) -> tuple[list[str], list[str]]:
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    wanted = [line for line in lines if line]
    return [line for line in wanted if not line.startswith("ansible=")], [
        line for line in wanted if line.startswith("ansible=")
    ]
