"""Every wheel of the lock file for one target, and the product's own."""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from packages.running import run
from packages.target import ROOT, BuildError, Target

LOCK: Final = ROOT / "requirements.lock"
_SOURCES: Final = ("node", "coordinator", "pyproject.toml", "README.md", "LICENSE")
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def fetch(target: Target, cache: Path) -> Path:
    """Download what the lock names, each file checked by its hashes; give the directory, below *cache*.

    Done before for the same lock and target, it takes no network.
    """
    key = hashlib.sha256(f"{target.python} {target.platforms}\n{LOCK.read_text('utf-8')}".encode()).hexdigest()[:16]
    to = cache / f"wheels-{key}"
    if not (to / "complete").exists():
        shutil.rmtree(to, ignore_errors=True)
        platforms = [f"--platform={name}" for name in target.platforms]
        chosen = (
            "--only-binary=:all:",
            "--no-deps",
            "--require-hashes",
            f"--python-version={target.python}",
            *platforms,
        )
        run(*_PIP, "download", *chosen, f"--dest={to}", f"--requirement={LOCK}")
        (to / "complete").touch()
    return to


def product(target: Target, to: Path) -> Path:
    """Build the product's wheel into *to*, from a copy: what lies about in the tree does not get in."""
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "source")
        source.mkdir()
        for name in _SOURCES:
            _copy(ROOT / name, source / name)
        command = (*_PIP, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={work}", source)
        run(*command, environment=target.environment)
        name = f"m365_relay-{target.version}-py3-none-any.whl"
        if not Path(work, name).exists():
            raise BuildError(f"the build made no {name}")
        return Path(shutil.copy(Path(work, name), to / name))


def _copy(source: Path, to: Path) -> None:
    """Copy with modes that do not depend on who checked the tree out."""
    if source.is_file():
        shutil.copyfile(source, to)
        to.chmod(0o644)
        return
    to.mkdir(mode=0o755)
    for entry in sorted(source.iterdir()):
        if entry.name != "__pycache__":
            _copy(entry, to / entry.name)


def requirements(target: Target, own: Path) -> str:
    """Give what is to be installed: the lock, and the product by its hash."""
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    return f"{LOCK.read_text('utf-8').rstrip()}\nm365-relay=={target.version} --hash=sha256:{digest}\n"
