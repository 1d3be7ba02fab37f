"""Completion in real shells: what a TAB offers is what ``relayctl`` knows."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """``relayctl`` as installed: a script of that name on the path."""
    directory = tmp_path_factory.mktemp("bin")
    script = directory / "relayctl"
    script.write_text(f"#!{sys.executable}\nfrom node.__main__ import relayctl\nrelayctl()\n")
    script.chmod(0o755)
    return directory


def said(program: Path, *command: str) -> str:
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def offered(program: Path, *words: str) -> list[str]:
    """What bash offers for the last word: the function the script registered is called as readline would."""
    script = (
        'source <(relayctl completion bash); name=$(complete -p relayctl | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
        f"COMP_WORDS=({' '.join(shlex.quote(word) for word in words)}); COMP_CWORD={len(words) - 1}; "
        '"$name" relayctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return said(program, "bash", "--norc", "--noprofile", "-c", script).split()


@pytest.mark.parametrize(
    ("words", "wanted", "unwanted"),
    [
        (("relayctl", "st"), ["status"], "queue"),
        (("relayctl", "queue", "re"), ["release", "retry"], "list"),
        (("relayctl", "queue", "list", "--st"), ["--state"], "--json"),
        (("relayctl", "completion", ""), ["bash", "zsh", "fish"], "status"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bash_offers_commands_options_and_values(program, words, wanted, unwanted):
    found = offered(program, *words)
    assert set(wanted) <= set(found), found
    assert unwanted not in found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_the_shell_can_read(program, shell):
    script = said(program, "relayctl", "completion", shell)
    assert "_RELAYCTL_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=120)


def test_another_shell_is_refused_by_name(program):
    done = subprocess.run(
        [program / "relayctl", "completion", "tcsh"], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "tcsh" in done.stderr
