"""What the commands about configuration share: which file is meant, how it is read, where messages go."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from node.cli.common import clean, console, errors

if TYPE_CHECKING:
    from node.settings.reader import Loaded

SYSTEM_FILE = Path("/etc/m365-relay/relay.yaml")
LOCAL_FILE = Path("relay.yaml")
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration; default $RELAY_CONFIG, ./relay.yaml, then the system's."),
]
NodeOption = Annotated[str | None, typer.Option("--node", help="Name of this node in the cluster.")]


def config_file(given: Path | None) -> Path:
    """Choose the configuration: as given, from ``RELAY_CONFIG``, here, else the system's."""
    if given is not None:
        return given
    named = os.environ.get("RELAY_CONFIG")
    if named:
        return Path(named)
    return LOCAL_FILE if LOCAL_FILE.exists() else SYSTEM_FILE


def read_config(given: Path | None) -> "Loaded":
    """Read the configuration to look at it, not to run it: other files need not be there."""
    from node.settings.reader import load  # noqa: PLC0415 - commands that ask a node come here for messages only

    return load(config_file(given), here=False)


def say(text: str, style: str = "") -> None:
    """Print one line for a person on standard output; control characters are made harmless."""
    console.print(_styled(text, style))


def say_fault(text: str) -> None:
    """Print one fault on standard error, place first so that editors can jump to it."""
    errors.print(_styled(text, "red"))


def say_warning(text: str) -> None:
    """Print one warning on standard error."""
    errors.print(f"[yellow]warning:[/yellow] {escape(clean(text))}")


def _styled(text: str, style: str) -> str:
    safe = escape("\n".join(clean(line) for line in text.split("\n")))
    return f"[{style}]{safe}[/{style}]" if style else safe
