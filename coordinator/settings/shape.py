"""Holds plain values against the model; goes on behind faults so that the checks between parts can speak as well."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from coordinator.settings.base import Part
from coordinator.settings.messages import KeysAt, wording
from coordinator.settings.places import KeyPath, Report

PartT = TypeVar("PartT", bound=Part)
MAX_ROUNDS = 6
"""Leaving out a faulty value can leave its part incomplete, which is then left out too: once per level of the model."""


def validate(model: type[PartT], data: dict[str, Any], report: Report, *, base: Path, keys_at: KeysAt) -> PartT | None:
    """Make the settings of *data*; relative paths lie in *base*, *keys_at* knows what may stand where.

    Every fault is reported once. With faults, the result lacks the faulty parts and serves only for further checks;
    None when nothing useful remains.
    """
    for round_ in range(MAX_ROUNDS):
        try:
            return model.model_validate(data, context={"base": base})
        except ValidationError as error:
            details = error.errors(include_url=False)
        found = [(written_path(detail["loc"], data), detail) for detail in details]
        if round_ == 0:
            _tell(found, report, keys_at)
        doomed = {_doomed(path, missing=detail["type"] == "missing") for path, detail in found}
        if () in doomed:
            return None
        for path in doomed:
            data = _without(data, path)
    return None


def _tell(found: list[tuple[KeyPath, Any]], report: Report, keys_at: KeysAt) -> None:
    """Report each faulty value once; a list whose entries are faulty is not also called too short."""
    told: set[KeyPath] = set()
    for path, detail in found:
        empty_by_fault = detail["type"] == "too_short" and any(
            other[: len(path)] == path and other != path for other, _ in found
        )
        if path in told or empty_by_fault:
            continue
        told.add(path)
        report.fault(path, wording(detail, path, keys_at))
        if detail["type"] != "extra_forbidden":
            report.misshapen.add(path)


def written_path(location: tuple[str | int, ...], data: Any) -> KeyPath:
    """Turn pydantic's location into the path as written: marks of unions and keys go, short lists get their index."""
    path: list[str | int] = []
    here = data
    for rank, part in enumerate(location):
        if isinstance(here, dict) and part in here:
            path.append(part)
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
        elif isinstance(here, list) and part in here:
            path.append(here.index(part))
            here = None
        elif isinstance(here, dict) and rank == len(location) - 1 and part != "[key]":
            path.append(part)
    return tuple(path)


def _doomed(path: KeyPath, *, missing: bool) -> KeyPath:
    """Choose what to leave out: a whole list rather than one item, so that the other items keep their index."""
    path = path[:-1] if missing else path
    first = next((rank for rank, part in enumerate(path) if isinstance(part, int)), len(path))
    return path[:first]


def _without(data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    """Copy *data* without the value at *path*."""
    key, rest = str(path[0]), path[1:]
    if not rest:
        return {name: value for name, value in data.items() if name != key}
    inner = data.get(key)
    return {**data, key: _without(inner, rest)} if isinstance(inner, dict) else data
