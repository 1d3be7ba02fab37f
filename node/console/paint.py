"""Renders the templates, and gives the files pages need; all of it comes with the package."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from node import __version__
from node.console import words
from node.settings.when import show_details

KINDS: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file as served."""

    data: bytes
    kind: str
    tag: str
    """What stands in its address, so that a browser never uses an older version's."""


def served() -> dict[str, File]:
    """Read the files that pages load."""
    found = {}
    for place in sorted(files("node.console").joinpath("static").iterdir(), key=lambda each: each.name):
        ending = "." + place.name.rpartition(".")[2]
        if ending in KINDS:
            data = place.read_bytes()
            tag = hashlib.sha256(data).hexdigest()[:16]
            found[place.name] = File(data=data, kind=KINDS[ending], tag=tag)
    return found


class Painter:
    """Makes HTML."""

    def __init__(self, node: str, static: Mapping[str, File]) -> None:
        """Names that are undefined in a template are faults, not blanks."""
        self._jinja = Environment(
            loader=PackageLoader("node.console", "templates"),
            autoescape=True,
            finalize=words.clean,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._jinja.globals |= {"node": node, "version": __version__, "static": _addresses(static)}
        for name in ("moment", "span", "tone", "size", "rate", "said"):
            self._jinja.filters[name] = getattr(words, name)
        self._jinja.filters["details"] = show_details

    def paint(self, template: str, values: Mapping[str, Any]) -> str:
        """Render one template."""
        return self._jinja.get_template(template).render(values)


def _addresses(static: Mapping[str, File]) -> dict[str, str]:
    return {name: f"/console/static/{name}?v={file.tag}" for name, file in static.items()}
