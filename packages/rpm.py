"""The .rpm of a staged root, by rpmbuild and the spec beside this file."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from packages import tree
from packages.running import run
from packages.target import Target

SPEC: Final = Path(__file__).parent / "rpm/m365-relay.spec"


def build(root: Path, target: Target, to: Path) -> Path:
    """Build ``m365-relay-VERSION-1.MACHINE.rpm`` in *to*."""
    tree.settle(root, target.epoch)
    with tempfile.TemporaryDirectory() as work:
        defined = {
            "_topdir": work,
            "_rpmdir": work,
            "stage": str(root.absolute()),
            "relay_version": target.package_version,
            "relay_python": target.python,
        }
        options = [word for name, value in defined.items() for word in ("--define", f"{name} {value}")]
        run("rpmbuild", "-bb", "--quiet", f"--target={target.machine}", *options, SPEC, environment=target.environment)
        made = next(Path(work).rglob("*.rpm"))
        return Path(shutil.copy(made, to / made.name))
