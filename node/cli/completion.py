"""``relayctl completion``: the script that makes a shell complete commands, options and values.

The script asks ``relayctl`` itself, so it is never older than the commands are.
"""

from enum import StrEnum
from typing import Annotated, Final

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]

PROGRAM: Final = "relayctl"


class Shell(StrEnum):
    """Shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that shall complete.")]) -> None:
    """Print the completion script of a shell, e.g. for ``source <(relayctl completion bash)`` in ~/.bashrc."""
    variable = f"_{PROGRAM.upper()}_COMPLETE"
    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=variable, shell=shell.value))
