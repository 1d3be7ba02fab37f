"""One step of the setup as a value, and how a list of them reads. Pure."""

import textwrap
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

WIDTH: Final = 100


class Where(StrEnum):
    """Where a step is done."""

    EXCHANGE = "Exchange Online PowerShell"
    ENTRA = "Entra admin centre"
    AZURE = "Azure"
    DNS = "DNS"
    HERE = "this relay"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One step."""

    title: str
    where: Where
    why: str
    """One or two sentences for whoever has to approve it."""
    commands: tuple[str, ...] = ()
    """To be copied as they stand."""
    steps: tuple[str, ...] = ()
    """To be done by hand."""


def quoted(text: str) -> str:
    """Give a text as a PowerShell literal: in single quotes nothing is expanded."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Iterable[str]) -> str:
    """Give literals separated by commas, as PowerShell takes several values."""
    return ",".join(map(quoted, texts))


def rendered(heading: str, sections: Sequence[Section]) -> str:
    """Write the steps one under another."""
    parts = [heading, "=" * len(heading), ""]
    for number, section in enumerate(sections, 1):
        parts += [f"{number}. {section.title}  [{section.where.value}]", ""]
        parts += [*_wrapped(section.why, "   "), ""]
        for step in section.steps:
            parts += _wrapped(step, "   - ")
        if section.steps:
            parts.append("")
        parts += [f"       {command}" if command else "" for command in section.commands]
        if section.commands:
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _wrapped(text: str, indent: str) -> list[str]:
    later = " " * len(indent)
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
