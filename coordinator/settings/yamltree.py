"""Turns YAML text into plain values and the place of each; the only file that knows the YAML library.

Stricter than YAML on purpose: one document, string keys that occur once, no aliases or tags (so that a small file
cannot grow without bound in memory or build objects), and only the plain types of YAML 1.2: ``no`` and ``off`` stay
words. Depth and number of values are bounded.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from coordinator.settings.places import Finding, KeyPath, Place

MAX_DEPTH = 24
"""The deepest sample reaches 7."""
MAX_VALUES = 500_000
"""Some 50,000 clients."""
MAX_FAULTS = 100
"""Faults kept per file; beyond that the file is something else."""
_WORDS = {"true": True, "True": True, "false": False, "False": False, "": None, "~": None, "null": None}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Tree:
    """The values of one file, the place of each, and what was wrong with the text."""

    data: Any = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    faults: list[Finding] = field(default_factory=list)


class _UnusableError(Exception):
    """Reading cannot go on behind this point."""

    def __init__(self, mark: Any, text: str) -> None:
        super().__init__(text)
        self.mark = mark
        self.text = text


def read_yaml(text: str, file: str) -> Tree:
    """Read *text*; *file* only names it. Never raises: what is wrong stands in ``faults``."""
    builder = _Builder(file)
    try:
        builder.document(_LOADER(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        builder.fault(mark, (), f"not YAML: {problem}")
    except _UnusableError as error:
        builder.fault(error.mark, (), error.text)
    except UnicodeError:
        builder.fault(None, (), "not YAML: holds characters that are no text")
    return builder.tree


def plain_value(text: str) -> str | int | float | bool | None:
    """Give an unquoted scalar its type, by YAML 1.2's core rules without octal, hexadecimal, infinity and exponent."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Builder:
    """Follows the parser's events and builds the tree."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.tree = Tree()
        self.values = 0

    def fault(self, mark: Any, path: KeyPath, text: str) -> None:
        if len(self.tree.faults) < MAX_FAULTS:
            self.tree.faults.append(Finding(place=self.place(mark), path=path, text=text))

    def place(self, mark: Any) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1) if mark is not None else Place(self.file)

    def document(self, loader: Any) -> None:
        try:
            loader.get_event()
            if loader.check_event(yaml.StreamEndEvent):
                return
            loader.get_event()
            data = self.value(loader, ())
            loader.get_event()
            if not loader.check_event(yaml.StreamEndEvent):
                raise _UnusableError(loader.peek_event().start_mark, "a second document begins; write one per file")
            self.tree.data = data
        finally:
            loader.dispose()

    def value(self, loader: Any, path: KeyPath) -> Any:
        event = loader.get_event()
        self.values += 1
        if len(path) > MAX_DEPTH:
            raise _UnusableError(event.start_mark, f"nested more than {MAX_DEPTH} deep")
        if self.values > MAX_VALUES:
            raise _UnusableError(event.start_mark, f"more than {MAX_VALUES} values")
        if isinstance(event, yaml.AliasEvent):
            raise _UnusableError(event.start_mark, "aliases (*name) are not taken; write the value out or use a plan")
        if event.tag not in (None, "!"):
            self.fault(event.start_mark, path, "tags (!name) are not taken")
        self.tree.places.setdefault(path, self.place(event.start_mark))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(loader, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(loader, path)
        return self.scalar(event, path)

    def scalar(self, event: Any, path: KeyPath) -> Any:
        if _CONTROL.search(event.value):
            self.fault(event.start_mark, path, "holds a control character")
            return ""
        return plain_value(event.value) if event.implicit[0] and event.style in (None, "") else event.value

    def sequence(self, loader: Any, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not loader.check_event(yaml.SequenceEndEvent):
            items.append(self.value(loader, (*path, len(items))))
        loader.get_event()
        return items

    def mapping(self, loader: Any, path: KeyPath) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not loader.check_event(yaml.MappingEndEvent):
            self.entry(loader, path, entries)
        loader.get_event()
        return entries

    def entry(self, loader: Any, path: KeyPath, entries: dict[str, Any]) -> None:
        event = loader.get_event()
        if not isinstance(event, yaml.ScalarEvent):
            raise _UnusableError(event.start_mark, "expected a plain key here")
        key, here = event.value, (*path, event.value)
        if _CONTROL.search(key) or len(key) > 254:  # noqa: PLR2004 - the longest address (RFC 5321 §4.5.3.1)
            raise _UnusableError(event.start_mark, "this key is too long or holds a control character")
        first = self.tree.places.get(here) if key in entries else None
        if first is not None:
            self.fault(event.start_mark, here, f"given twice; the first is at line {first.line}")
            here = (*path, f"{key} (again)")
        self.tree.places[here] = self.place(event.start_mark)
        value = self.value(loader, here)
        entries.setdefault(key, value)
