"""Where each key of the configuration stands, and the findings about it; knows nothing of YAML."""

from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""The way to a value: ``("clients", "billing", "networks", 0)``."""

MAX_TOLD = 500
"""Findings told one by one; nobody mends more at a time, and a log must not be flooded."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One spot in one file, counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        """Give the place as compilers do, so that editors can jump to it."""
        return f"{self.file}:{self.line}:{self.column}"


def dotted(path: KeyPath) -> str:
    """Write a key path for people: ``clients.billing.networks[0]``; keys holding a dot are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f"{'.' if text else ''}{part}" if "." not in part else f'{"." if text else ""}"{part}"'
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing wrong or doubtful."""

    place: Place
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """Give ``file:line:column: key.path: what is wrong``."""
        said = f"{self.place}: {dotted(self.path)}: {self.text}" if self.path else f"{self.place}: {self.text}"
        # A key may hold a line break or worse; a finding stays one line that a terminal can show.
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in said)


@dataclass(slots=True)
class Report:
    """Collects every finding of one reading; the places decide their order."""

    places: dict[KeyPath, Place]
    order: dict[str, int]
    """Files by the order they were read in."""
    faults: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    folds: list[tuple[KeyPath, KeyPath]] = field(default_factory=list)
    """Short forms: as written, and as the model has it."""

    misshapen: set[KeyPath] = field(default_factory=set)
    """Values left out of the model for a fault of their own: what is said about the parts around them may be wrong."""

    def damaged(self, path: KeyPath) -> bool:
        """Tell whether something at or below *path* was left out for a fault."""
        return any(faulty[: len(path)] == path for faulty in self.misshapen)

    def place_of(self, path: KeyPath) -> Place:
        """Give the place of a key, or of the nearest part around it that the files mention."""
        for length in range(len(path), -1, -1):
            if (place := self.places.get(path[:length])) is not None:
                return place
        return Place(next(iter(self.order), "configuration"))

    def adopt(self, places: dict[KeyPath, Place], prefix: KeyPath, under: KeyPath) -> None:
        """Take over the places below *prefix* of another file as places below *under*."""
        depth = len(prefix)
        self.places.update({(*under, *path[depth:]): at for path, at in places.items() if path[:depth] == prefix})

    def fold(self, written: KeyPath, model: KeyPath) -> None:
        """Know the short form *written* under its full name *model*; findings still name it as written."""
        self.adopt(dict(self.places), written, model)
        self.folds.append((written, model))

    def as_written(self, path: KeyPath) -> KeyPath:
        """Give a path of the model as the file has it."""
        for written, model in self.folds:
            if path[: len(model)] == model:
                return (*written, *path[len(model) :])
        return path

    def fault(self, path: KeyPath, text: str) -> None:
        """Note something that keeps the configuration from being used."""
        self.faults.append(Finding(place=self.place_of(path), path=self.as_written(path), text=text))

    def warn(self, path: KeyPath, text: str) -> None:
        """Note something usable but doubtful."""
        self.warnings.append(Finding(place=self.place_of(path), path=self.as_written(path), text=text))

    def lines(self, findings: list[Finding]) -> list[str]:
        """Give findings as text, in the order of the files, each only once; beyond a bound only their number."""
        rank = len(self.order)
        ordered = sorted(findings, key=lambda one: (self.order.get(one.place.file, rank), one.place, dotted(one.path)))
        lines = list(dict.fromkeys(str(finding) for finding in ordered))
        more = len(lines) - MAX_TOLD
        return [*lines[:MAX_TOLD], f"{ordered[-1].place.file}: and {more} more like these"] if more > 0 else lines
