"""How the commands about configuration fail: each fault on its own line as editors like it, and exit code 2."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from node.cli.common import EXIT_USAGE
from node.cli.output import say_fault
from node.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")


class UsageError(ConfigurationError):
    """The command was given something it cannot use."""

    def __init__(self, text: str) -> None:
        """Keep one sentence."""
        super().__init__([text])


def explained(command: Callable[P, T]) -> Callable[P, T]:
    """Print every fault of a configuration on standard error and exit 2, instead of showing a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            for fault in error.faults:
                say_fault(fault)
            raise typer.Exit(EXIT_USAGE) from None

    return run
