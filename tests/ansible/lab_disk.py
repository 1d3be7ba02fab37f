"""Snapshots of a lab host's disk: what a hypervisor keeps of a machine, and puts back."""

import os
import shutil
from pathlib import Path

from tests.ansible.lab import Lab
from tests.ansible.lab_base import run


def kept(lab: Lab, name: str) -> Path:
    """Copy the disk of a host that is switched off."""
    folder = _off(lab, name)
    copy = folder / "upper.kept"
    shutil.rmtree(copy, ignore_errors=True)
    run("cp", "--archive", "--no-target-directory", folder / "upper", copy)  # with the overlay's attributes
    return copy


def put_back(lab: Lab, name: str, copy: Path) -> None:
    """Give a host that is switched off the disk it had."""
    folder = _off(lab, name)
    if os.path.ismount(folder / "root"):
        run("umount", folder / "root")
    for part in ("upper", "work"):
        shutil.rmtree(folder / part)
    run("cp", "--archive", "--no-target-directory", copy, folder / "upper")


def _off(lab: Lab, name: str) -> Path:
    host = lab.hosts[name]
    assert not host.alive(), f"{name} runs: its disk changes while it is copied"
    return lab.home / "hosts" / name
