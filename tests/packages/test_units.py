"""Units of packages are the role's own, as Ansible renders them; scripts and units are sound."""

import json
import os
import shutil
import subprocess

import pytest

from packages import units
from packages.deb import SCRIPTS
from packages.rpm import SPEC
from packages.target import ROOT
from packages.tree import ENVIRONMENT
from tests.ansible.conftest import ansible  # noqa: F401 - a fixture
from tests.ansible.support import COLLECTION, EXAMPLE
from tests.packages.conftest import TARGET

DEBIAN = ROOT / "packages/debian"
EXPOSURE = {"relay-node.service": 17, "relay-coordinator.service": 21}
"""Most that `systemd-analyze security` may say, of 100; the same as of the role's."""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.template:
        src: "{{ templates }}/{{ item }}.j2"
        dest: "{{ to }}/{{ item }}"
      loop: [relay-node.service, relay-coordinator.service, directories]
"""


@pytest.mark.timeout(600)  # Ansible may have to be installed first
def test_ansible_makes_the_same_of_the_same_templates(ansible, tmp_path):  # noqa: F811
    given = units.variables() | {
        "templates": str(COLLECTION / "roles/relay/templates"),
        "to": str(tmp_path),
        "ansible_managed": "",
    }
    (tmp_path / "given.json").write_text(json.dumps(given))
    (tmp_path / "play.yml").write_text(PLAY)
    ansible.play(tmp_path / "play.yml", EXAMPLE, "-e", f"@{tmp_path / 'given.json'}").fine()
    for name in (*units.UNITS, "directories"):
        made, ours = ((tmp_path / name).read_text(), units.render(name))
        assert _said(made) == _said(ours), name


def _said(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("unit", units.UNITS)
def test_units_start_what_the_package_holds_as_its_user(unit):
    said = units.render(unit)
    program = unit.removesuffix(".service")
    assert f"\nExecStart={ENVIRONMENT}/bin/{program} /etc/m365-relay/relay.yaml\n" in said
    assert "\nUser=m365-relay\n" in said
    assert "{{" not in said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", units.UNITS)
def test_units_are_sound_and_sandboxed(unit, tmp_path):
    program = tmp_path / ENVIRONMENT.lstrip("/") / "bin" / unit.removesuffix(".service")
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)
    file = tmp_path / unit
    file.write_text(
        units.render(unit).replace(ENVIRONMENT, f"{tmp_path}{ENVIRONMENT}").replace("=m365-relay\n", "=daemon\n")
    )
    verified = _run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", file)
    assert [line for line in verified.stdout.splitlines() if unit in line] == []
    judged = _run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[unit]}", file)
    assert judged.returncode == 0, judged.stdout


def test_staged_files_lie_where_systemd_and_sysctl_look(tmp_path):
    units.stage(tmp_path, TARGET)
    assert "m365-relay" in (tmp_path / "usr/lib/sysusers.d/m365-relay.conf").read_text()
    assert "/run/m365-relay 0700 m365-relay" in (tmp_path / "usr/lib/tmpfiles.d/m365-relay.conf").read_text()
    for name in units.CONFIGURATION:
        assert "net." in (tmp_path / name.lstrip("/")).read_text()
    command = tmp_path / "usr/bin/relayctl"
    assert str(command.readlink()) == f"..{ENVIRONMENT.removeprefix('/usr')}/bin/relayctl"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_maintainer_scripts_have_no_fault_shellcheck_knows(tmp_path):
    done = _run("shellcheck", "--exclude=SC1091", *(DEBIAN / name for name in SCRIPTS))
    assert done.returncode == 0, done.stdout


def test_maintainer_scripts_can_be_read_by_a_plain_shell(tmp_path):
    sections = SPEC.read_text().split("\n%files")[0].split("\n%install")[1].split("\n%")[1:]
    scripts = {section.partition("\n")[0]: section.partition("\n")[2] for section in sections}
    assert set(scripts) == {"pre", "post", "posttrans", "preun", "postun"}
    for name in SCRIPTS:
        scripts[name] = (DEBIAN / name).read_text()
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        assert _run("sh", "-n", tmp_path / name).stdout == ""


def _run(*words):
    environment = os.environ | {"SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    return subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        check=False, env=environment,
    )  # fmt: skip
