"""Runs Terraform in a copy of the modules, attached to the offline providers."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[3] / "terraform"
OLDEST = (1, 10)
SECONDS = 300
_BOXES = re.compile(r"[\s│╷╵╵─]+")


class Terraform:
    """A folder with modules and examples and the command that works on it."""

    def __init__(self, tree: Path, attached: Mapping[str, str]) -> None:
        self.tree = tree
        self.ready: set[str] = set()
        (tree / "empty.tfrc").write_text("")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "ARM_", "VSPHERE_"))}
        own = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": str(tree / "empty.tfrc")}
        self.environment = kept | own | dict(attached)

    def run(self, folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command in a folder of the tree; a failure is the caller's to judge."""
        command = [program() or "terraform", *arguments]
        return subprocess.run(
            command, cwd=self.tree / folder, env=self.environment, capture_output=True, text=True, timeout=SECONDS,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def said(self, folder: str, *arguments: str) -> tuple[int, str]:
        """Give exit code and text of a command, the text in one line without the frames of messages."""
        done = self.run(folder, *arguments, "-no-color")
        return done.returncode, _BOXES.sub(" ", done.stdout + done.stderr)

    def must(self, folder: str, *arguments: str) -> str:
        """Run a command that has to succeed; gives what it printed."""
        done = self.run(folder, *arguments)
        assert done.returncode == 0, f"{folder}: terraform {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def init(self, folder: str) -> None:
        """Make a folder ready, once; nothing is fetched, since all providers are attached."""
        if folder not in self.ready:
            self.must(folder, "init", "-backend=false", "-input=false", "-no-color")
            self.ready.add(folder)

    def output(self, folder: str) -> dict[str, Any]:
        """Give the outputs of what was applied."""
        return {name: one["value"] for name, one in json.loads(self.must(folder, "output", "-json")).items()}


def copied(folder: Path) -> Path:
    """Copy the modules and examples as they are committed, so that no run leaves anything beside them."""
    left = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars*")
    return Path(shutil.copytree(TREE, folder / "terraform", ignore=left))


def program() -> str | None:
    """Give the command: that of the variable TERRAFORM, or the one on the path."""
    return shutil.which(os.environ.get("TERRAFORM", "terraform"))


def version() -> tuple[int, ...]:
    """Give the version of the command; (0,) if it does not say."""
    done = subprocess.run(
        [program() or "terraform", "version", "-json"], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r'"terraform_version": "([\d.]+)', done.stdout)
    return tuple(map(int, found[1].split("."))) if found else (0,)
