"""Fetches the binding packages named in a lock file and keeps the schemas read from them."""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.terraform.offline.bindings import Package

HERE = Path(__file__).parent
SOURCES = {"azurerm": "hashicorp/azurerm", "azuread": "hashicorp/azuread", "vsphere": "vmware/vsphere"}
DOWNLOAD_SECONDS = 240
_USED = re.compile(r'^(resource|data) "(\w+)"', re.MULTILINE)


class UnavailableError(Exception):
    """The packages cannot be had; the message says why."""


def types_used(tree: Path) -> list[str]:
    """Give every type of resource and data source that configurations below a folder name."""
    found = (hit for file in tree.rglob("*.tf") for hit in _USED.findall(file.read_text()))
    return sorted({name if kind == "resource" else f"data.{name}" for kind, name in found})


def schemas(lock: str, types: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give the schemas by the providers' source addresses; fetched once, then kept in the user's cache."""
    types = sorted(types)
    made_of = [(HERE / lock).read_bytes(), (HERE / "bindings.py").read_bytes(), "\n".join(types).encode()]
    kept = _cache() / f"{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:24]}.json"
    with (kept.parent / "lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not kept.exists():
            text = json.dumps(_read(lock, types))
            fresh = kept.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(kept)
    return dict(json.loads(kept.read_text()))


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "m365-relay-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read(lock: str, types: list[str]) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        _download(HERE / lock, folder)
        found = {}
        for wheel in sorted(Path(folder).glob("*.whl")):
            name = re.sub(r"^.*provider_(\w+?)-.*$", r"\1", wheel.name)
            own = [one for one in types if one.removeprefix("data.").startswith(f"{name}_")]
            found[SOURCES[name]] = Package(wheel, name, own).schema()
        return found


def _download(lock: Path, folder: str) -> None:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--requirement", str(lock), "--dest", folder,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{lock.name} was not fetched within {DOWNLOAD_SECONDS} s") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        raise UnavailableError(f"{lock.name} cannot be fetched: {last[0]}")
