"""A staged root as packages hold it, with an environment that finds the product in this source tree."""

import compileall
import dataclasses
import site
import tomllib

import pytest

from packages import deb, tree, units
from packages.target import ROOT, Target
from packages.units import ENVIRONMENT
from tests.packages.scratch import REASON, USABLE, Scratch

COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
TARGET = Target(version="0.1.0", epoch=1_700_000_000)
NEWER = dataclasses.replace(TARGET, version="0.1.1")


def staged(root, target=TARGET):
    """Stage a root whose environment leads here: everything but the wheels is as in a package for users."""
    environment = root / ENVIRONMENT.lstrip("/")
    here = environment / f"lib/python{target.python}/site-packages/here.pth"
    here.parent.mkdir(parents=True)
    here.write_text("".join(f"{place}\n" for place in (ROOT, *site.getsitepackages())))
    tree.begin(environment, target, COMMANDS)
    units.stage(root, target)
    return root


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """The product is compiled once: where packages are installed its source cannot be written to."""
    for name in ("node", "coordinator"):
        compileall.compile_dir(ROOT / name, quiet=2)


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    """Two versions of the .deb."""
    to = tmp_path_factory.mktemp("debs")
    return [
        deb.build(staged(to / f"root-{target.version}", target), target, to, compression="none")
        for target in (TARGET, NEWER)
    ]


@pytest.fixture
def scratch(tmp_path):
    """A machine to install on."""
    if not USABLE:
        pytest.skip(REASON)
    try:
        made = Scratch(tmp_path)
    except RuntimeError as error:
        pytest.skip(str(error))
    yield made
    made.close()
