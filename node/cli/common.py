"""What the commands that speak to a node share: options, the error-to-exit-code rule, tables or JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.cli import signing_in
from node.cli.remote import Api, Remote, UnreachableError, WrongUseError, find_socket
from node.errors import ConfigurationError, RelayError
from node.policy.reply import said
from node.settings.when import BadTimeError, show_ms

EXIT_PROBLEM, EXIT_USAGE, EXIT_UNREACHABLE = 1, 2, 3
SocketOption = Annotated[Path | None, typer.Option("--socket", help="Administration socket of the node.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the message's journey and the log.")]

PIPED_WIDTH = 240
"""Columns when no terminal tells its own: an id must never be cut for a program that reads lines."""
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
errors = Console(stderr=True, soft_wrap=True, highlight=False)
P = ParamSpec("P")
T = TypeVar("T")


def told(command: Callable[P, T]) -> Callable[P, T]:
    """Turn the product's errors into one sentence on standard error and the exit code of design §2."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except UnreachableError as error:
            _fail(error)
            raise typer.Exit(EXIT_UNREACHABLE) from None
        except (BadTimeError, ConfigurationError, WrongUseError) as error:
            _fail(error)
            raise typer.Exit(EXIT_USAGE) from None
        except RelayError as error:
            _fail(error)
            raise typer.Exit(EXIT_PROBLEM) from None

    return run


def _fail(error: Exception) -> None:
    """Print the error; each line of it made harmless, for it may quote mail or a reply."""
    for line in str(error).splitlines() or [type(error).__name__]:
        errors.print(f"[red]relayctl[/red]: {escape(clean(line))}")


def connect(socket: Path | None) -> Remote:
    """Give the node the options name; where no node runs on this host, the one somebody signed in at."""
    try:
        return Remote(find_socket(socket))
    except UnreachableError:
        signed = signing_in.kept()
        if signed is None:
            raise
        return Remote(Api(url=signed.url, ca=signed.ca, token=signed.token))


def last_reply(way: Mapping[str, Any]) -> tuple[str, str]:
    """Give the last answer on a way, and when it came; empty texts before the first."""
    last = way.get("last")
    return (said(last["code"], last["enhanced"], last["text"]), show_ms(last["at_ms"])[:19]) if last else ("", "")


def now_ms() -> int:
    """Read the wall clock in milliseconds."""
    return time.time_ns() // 1_000_000


def show(rows: Iterable[Sequence[object]], columns: Sequence[str], *, empty: str) -> None:
    """Print a table for a person; control characters from mail are escaped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    count = 0
    for row in rows:
        table.add_row(*(escape(clean(str(cell))) for cell in row))
        count += 1
    console.print(table if count else f"[dim]{empty}[/dim]")


def styled(text: str, style: str = "") -> str:
    """Give foreign text as markup: nothing in it drives the terminal or the markup, all of it in one style."""
    safe = escape(clean(text))
    return f"[{style}]{safe}[/{style}]" if style else safe


def show_json(value: Any) -> None:
    """Print a value for a program."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def clean(text: str) -> str:
    """Replace what could drive a terminal (upstream replies, subjects of hostile mail)."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
