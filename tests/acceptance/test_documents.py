"""The documents say what is so: generated parts are current, every command line parses, every link leads somewhere."""

import re
import shlex
import textwrap
from pathlib import Path

import pytest
import typer
import typer.main
import yaml
from typer.core import TyperGroup

from node.__main__ import app
from node.errors import ConfigurationError
from node.policy.envelope import RecipientState
from node.policy.route import Cause
from node.rehearsal.simulator.directory import read_directory
from node.rehearsal.simulator.script import read_steps
from node.settings.schema import describe
from tests.support import docs
from tests.support.settings_files import TENANT, loaded

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MINE = [file for file in FILES if file.name != "performance.md"]
OTHERS = {
    "make", "swaks", "curl", "kill", "systemctl", "systemd-analyze", "jq", "cp", "mv", "pip", "dpkg", "rpm",
    "ansible-galaxy", "ansible-playbook",
}  # fmt: skip
"""Programs of others that may stand in an example."""
WRONG_USE = typer.BadParameter.__mro__[1]
"""UsageError, which typer does not export."""
COMMAND = typer.main.get_command(app)


def blocks(file: Path, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


def lines(file: Path) -> list[str]:
    return [line[2:] for block in blocks(file, "console") for line in block.splitlines() if line.startswith("$ ")]


def programs(line: str) -> list[list[str]]:
    """Split a line of a shell into the programs of its pipe, without comment and redirection."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "|":
            found.append([])
        elif word == ">":
            break
        elif found[-1] or not re.match(r"[A-Z_]+=", word):  # what is set for one command stands before it
            found[-1].append(word)
    return found


def parse(words: list[str]) -> None:
    """Let typer read a command line down to the last option, without running it."""
    command, context = COMMAND, typer.Context(COMMAND, info_name="relayctl")
    while isinstance(command, TyperGroup):
        assert words, f"{context.command_path}: which of {sorted(command.commands)}?"
        found = command.get_command(context, words[0])
        assert found is not None, f"{context.command_path}: there is no {words[0]!r}"
        command, words = found, words[1:]
        context = typer.Context(command, parent=context, info_name=command.name)
    if "--help" not in words:
        command.make_context(command.name, list(words), parent=context.parent)


@pytest.mark.parametrize("name", docs.BLOCKS)
def test_generated_parts_are_current(name):
    assert (docs.DOCS / name).read_text("utf-8") == docs.current(name), "run: python -m tests.support.docs"


def test_every_span_attribute_and_log_field_has_a_meaning():
    assert docs.spans_in_code() == set(docs.SPANS)
    assert docs.attributes_in_code() == set(docs.ATTRIBUTES)
    assert docs.log_fields() <= set(docs.LOG_FIELDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_line_parses(file):
    for line in lines(file):
        for words in programs(line):
            program = Path(words[0]).name
            if program == "relayctl":
                parse(words[1:])
            elif program in ("relay-node", "relay-coordinator"):
                assert len(words) == 2
            else:
                assert program in OTHERS, line


def test_a_wrong_command_line_would_be_seen():
    for wrong in (
        ["queue", "lsit"],
        ["queue", "list", "--limit", "ten"],
        ["status", "--josn"],
        ["queue"],
        ["trace", "a", "b"],
    ):
        with pytest.raises((AssertionError, WRONG_USE)):
            parse(wrong)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_command_named_in_text_exists(file):
    for words in re.findall(r"`relayctl\s+([a-z0-9][^`]*)`", file.read_text("utf-8")):
        command = COMMAND
        for word in words.split():
            if not isinstance(command, TyperGroup) or "|" in word:
                break
            found = command.get_command(typer.Context(command), word)
            assert found is not None, f"relayctl {words}"
            command = found
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts, "--help")}
        assert {word for word in words.split() if word.startswith("--")} <= known, f"relayctl {words}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_link_leads_somewhere(file):
    for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), target


def complete(text: str) -> str:
    """Make a whole configuration of an example: what it leaves out is filled in."""
    data = yaml.safe_load(text)
    tenant = {**yaml.safe_load(TENANT)["tenant"], **(data.pop("tenant", None) or {})}
    plans = {"printer": {}, "otp": {}, **data.get("plans", {})}
    return yaml.safe_dump({**data, "tenant": tenant, "plans": plans})


@pytest.mark.parametrize("file", MINE, ids=lambda file: file.name)
def test_every_example_of_a_configuration_can_be_read(file, tmp_path):
    (tmp_path / "clients.d").mkdir()
    for text in blocks(file, "yaml"):
        if text.startswith("- "):
            assert read_steps(yaml.safe_load(text), file.name)
            continue
        if "connectors" in text:  # of the simulator, not of the relay
            assert read_directory(yaml.safe_load(text), file.name)
            continue
        try:
            loaded(tmp_path, complete(text))
        except ConfigurationError as error:
            raise AssertionError(f"{text}\n{error}") from None


@pytest.mark.parametrize("file", MINE, ids=lambda file: file.name)
def test_keys_named_in_text_exist(file):
    tops = {"limits", "telemetry", "admin", "history", "egress", "intake", "bounces", "routes"}
    for name in re.findall(r"`([a-z]+(?:\.[a-z_]+)+)`", file.read_text("utf-8")):
        if name.split(".")[0] in tops and not name.endswith(".sock"):
            assert describe(tuple(name.split("."))) is not None, name


def test_operations_names_every_state_and_every_cause():
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for word in [*RecipientState, *(cause for cause in Cause if cause)]:
        assert f"`{word.value}`" in text, word
