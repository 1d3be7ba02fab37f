"""Commands imported when they are asked for, so that none pays for the libraries of the others.

A place is ``module:attribute``; a ``Typer`` found there becomes a group, a function a command. The list of commands,
and with it help and completion, is made from the same parser as ever: help loads what it tells of.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class Deferred(MutableMapping[str, Any]):
    """Commands by name; a place is replaced by its command the first time it is looked up."""

    def __init__(self, places: Mapping[str, Any]) -> None:
        """``places``: commands, or where they are."""
        self._found: dict[str, Any] = dict(places)

    def __getitem__(self, name: str) -> Any:
        """Give a command; imports its module the first time."""
        found = self._found[name]
        if isinstance(found, str):
            found = self._found[name] = _command(name, found)
        return found

    def __setitem__(self, name: str, command: Any) -> None:
        """Add a command."""
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        """Take one out."""
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names; nothing is imported."""
        return iter(self._found)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one; nothing is imported."""
        return name in self._found


def _command(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return get_command(alone)


def lazily(places: Mapping[str, str]) -> type[TyperGroup]:
    """Make the class of a group that has these commands besides those registered with it."""

    class Lazy(TyperGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = Deferred({**self.commands, **places})

    return Lazy
