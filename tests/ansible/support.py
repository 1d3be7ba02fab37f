"""What tests of the collection share: where it lies, its plugins without Ansible, and Ansible itself."""

import importlib.util
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
COLLECTION = REPOSITORY / "ansible"
ROLES = sorted(each.name for each in (COLLECTION / "roles").iterdir())
PLAYBOOKS = sorted((COLLECTION / "playbooks").glob("*.yml"))
EXAMPLE = COLLECTION / "inventory/example.yml"


def plugin(kind: str, name: str) -> ModuleType:
    """Load a plugin of the collection by its file."""
    spec = importlib.util.spec_from_file_location(
        f"collection_{kind}_{name}", COLLECTION / "plugins" / kind / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text()) if path.exists() else {}


@dataclass
class Ansible:
    """Ansible in an environment of its own; *work*: a directory for what it leaves."""

    home: Path
    work: Path

    @property
    def collection(self) -> Path:
        """The collection where Ansible finds it."""
        place = self.home / "collections/ansible_collections/m365_relay/relay"
        if place.resolve() != COLLECTION:  # another checkout installed this environment
            place.unlink()
            place.symlink_to(COLLECTION)
        return place

    def run(
        self, program: str, *words: object, timeout_s: float = 120, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs; output is kept, the exit code is for the caller to judge."""
        environment = {
            **os.environ,
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(self.home / "collections"),
            "ANSIBLE_HOME": str(self.work / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.work / "tmp"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_FORKS": "6",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            **options.pop("environment", {}),
        }
        return subprocess.run(
            [str(self.home / "bin" / program), *(str(word) for word in words)],
            **({"capture_output": True, "text": True, "timeout": timeout_s, "env": environment} | options),
            check=False,
        )

    def play(self, playbook: str | Path, inventory: Path, *words: object, timeout_s: float = 1200) -> "Played":
        """Run a playbook, of the collection by its name."""
        path = playbook if isinstance(playbook, Path) else self.collection / "playbooks" / playbook
        done = self.run("ansible-playbook", "-i", inventory, path, *words, timeout_s=timeout_s)
        return Played(done.returncode, done.stdout + done.stderr)


@dataclass(frozen=True)
class Played:
    """How a playbook went."""

    code: int
    said: str

    @property
    def changed(self) -> int:
        """How much it changed, on all hosts together."""
        recap = self.said.rpartition("PLAY RECAP")[2]
        return sum(int(word.removeprefix("changed=")) for word in recap.split() if word.startswith("changed="))

    def fine(self) -> "Played":
        """Demand that it ended well."""
        assert self.code == 0, self.said[-6000:]
        return self

    def refused(self, *wanted: str) -> "Played":
        """Demand that it stopped, naming each of *wanted*."""
        assert self.code != 0, self.said[-3000:]
        for text in wanted:
            assert text in " ".join(self.said.split()), f"{text!r} is not said:\n{self.said[-4000:]}"
        return self
