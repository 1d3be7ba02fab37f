"""Everything of a package beside the environment: units, user, directories, sysctls, documents.

Units and directories are the Ansible role's own templates, with the package's places in them.
"""

import gzip
import shutil
from pathlib import Path
from typing import Any, Final

import jinja2
import yaml

from packages.target import ROOT, Target
from packages.tree import ENVIRONMENT, HOME

ROLES: Final = ROOT / "ansible/roles"
UNITS: Final = ("relay-node.service", "relay-coordinator.service")
CONFIGURATION: Final = ("/etc/sysctl.d/60-m365-relay.conf", "/etc/sysctl.d/61-m365-relay-addresses.conf")
"""Files that are the administrator's once installed (conffiles)."""
DOCUMENTS: Final = "usr/share/doc/m365-relay"
FILES: Final = Path(__file__).parent / "files"


def variables() -> dict[str, Any]:
    """Give what stands in the role's templates: its defaults, and the package's own places."""
    role = ROLES / "relay"
    plain = {**_yaml(role / "defaults/main.yml"), **_yaml(role / "vars/main.yml")}
    return {name: value for name, value in plain.items() if "{{" not in str(value)} | {
        "ansible_managed": "Part of the package m365-relay; put changes beside it (systemctl edit).",
        "relay_home": HOME,
        "relay_node_name": "",  # a node finds itself by its host name; another name goes into a drop-in
        "relay_address_drivers": ["netlink"],
    }


def render(template: str) -> str:
    """Give what one of the role's templates makes."""
    loader = jinja2.FileSystemLoader(ROLES / "relay/templates")
    made = jinja2.Environment(  # noqa: S701 - no HTML
        loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return made.get_template(f"{template}.j2").render(variables())


def stage(root: Path, target: Target) -> None:
    """Write all of it below *root*."""
    for unit in UNITS:
        _write(root / "usr/lib/systemd/system" / unit, render(unit))
    _write(root / "usr/lib/tmpfiles.d/m365-relay.conf", render("directories"))
    user = variables()["relay_user"]
    _write(
        root / "usr/lib/sysusers.d/m365-relay.conf", f'u {user} - "SMTP relay to Microsoft 365" /var/lib/m365-relay\n'
    )
    for name, text in zip(CONFIGURATION, _sysctls(), strict=True):
        _write(root / name.lstrip("/"), text)
    command = root / "usr/bin/relayctl"
    command.parent.mkdir(parents=True)
    command.symlink_to(f"..{ENVIRONMENT.removeprefix('/usr')}/bin/relayctl")
    _documents(root / DOCUMENTS, target)


def _sysctls() -> tuple[str, str]:
    listener = f"net.core.somaxconn = {variables()['relay_somaxconn']}\n"
    addresses = _yaml(ROLES / "vip/defaults/main.yml")["vip_sysctls"]
    return listener, "".join(f"{key} = {value}\n" for key, value in sorted(addresses.items()))


def _documents(to: Path, target: Target) -> None:
    shutil.copytree(FILES, to)
    with (to / "changelog.gz").open("wb") as file, gzip.GzipFile("", "wb", 9, file, target.epoch) as zipped:
        zipped.write((ROOT / "CHANGELOG.md").read_bytes())
    shutil.copyfile(ROOT / "LICENSE", to / "LICENSE")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _yaml(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found
