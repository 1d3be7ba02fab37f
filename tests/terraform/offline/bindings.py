"""Schemas of Terraform's providers, read from the language bindings that are generated from them.

The bindings are packages with a TypeScript class for each resource. They say name, type, whether an argument is
required, optional or computed, and which parts are blocks. They do not say what is sensitive, nor which words an
argument allows. The result is what ``terraform providers schema -json`` prints, for the types that are asked for.
"""

import base64
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

_WORDS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
_DECLARATION = re.compile(r"^export (?:class|function|interface) (\w+)\b.*?^}", re.MULTILINE | re.DOTALL)
_FLAGS = re.compile(r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n")
_ENTRY = re.compile(
    r'(\w+): \{\s+value: (.+?),\s+isBlock: (?:true|false),\s+type: "(\w+)",\s+storageClassType: "(\w+)"', re.DOTALL
)
_MAPPED = re.compile(r"listMapperHcl\(\w+ToHclTerraform, (true|false)\)")
_MEMBER = re.compile(r"(?:public|readonly) ?(?:readonly )?(\w+)(\??):")


class Package:
    """The binding package of one provider: a wheel with a tar archive in it."""

    def __init__(self, wheel: Path, provider: str, types: Iterable[str] = ()) -> None:
        self.provider = provider
        wanted = {"package/lib/provider/index.js": "provider"}
        for name in types:
            prefix = f"data-{provider}-" if name.startswith("data.") else ""
            stem = name.removeprefix("data.").removeprefix(f"{provider}_").replace("_", "-")
            wanted |= {f"package/lib/{prefix}{stem}{end}/index.js": name for end in ("", "-resource", "-a")}
        self.sources = {wanted[path]: _typescript(text) for path, text in _members(wheel, wanted.keys())}

    @property
    def version(self) -> str:
        """Version of the provider the bindings were made from."""
        found = re.search(r"providerVersion: '([^']+)'", self.sources["provider"])
        return found[1] if found else "0.0.0"

    def schema(self) -> Schema:
        """Give the schemas of the provider block, of resources and of data sources."""
        read = {name: {"version": 0, "block": _Source(text).block()} for name, text in self.sources.items()}
        read["provider"]["block"]["attributes"].pop("alias", None)  # Terraform's own, not the provider's
        resources = {n: s for n, s in read.items() if n != "provider" and not n.startswith("data.")}
        data = {n.removeprefix("data."): s for n, s in read.items() if n.startswith("data.")}
        return {
            "version": self.version, "provider": read["provider"], "resource_schemas": resources,
            "data_source_schemas": data,
        }  # fmt: skip


def _members(wheel: Path, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    wanted = set(paths)
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name in wanted else None
                if file is not None:
                    yield member.name, file.read().decode()


def _typescript(script: str) -> str:
    """The source map at the end of a compiled script carries its source."""
    packed = script.rpartition("sourceMappingURL=data:application/json;base64,")[2].split()[0]
    return str(json.loads(base64.b64decode(packed))["sourcesContent"][0])


class _Source:
    """One resource: its main class, the classes of its blocks and the functions that write them out."""

    def __init__(self, text: str) -> None:
        self.text = {match[1]: match[0] for match in _DECLARATION.finditer(text)}
        main = re.search(
            r"^export class (\w+) extends cdkt[fn]\.Terraform(?:Resource|DataSource|Provider)", text, re.MULTILINE
        )
        if main is None:
            raise ValueError("the binding has no main class")
        self.main = main[1]

    def block(self) -> Schema:
        body = self.text[self.main]
        return self._block(body, body[body.find("synthesizeHclAttributes") :], f"{self.main}Config")

    def _struct(self, name: str) -> Schema:
        writer = f"{name[0].lower()}{name[1:]}ToHclTerraform"
        return self._block(self.text.get(f"{name}OutputReference", ""), self.text.get(writer, ""), name)

    def _block(self, body: str, writer: str, interface: str) -> Schema:
        entries = {entry[1]: entry for entry in _ENTRY.finditer(writer)}
        attributes: Schema = {}
        blocks: Schema = {}
        for name, flags, getter in self._described(body, entries, interface):
            entry = entries.get(name)
            nested = self._nested(entry) if entry else None
            if nested is not None:
                blocks[name] = nested | ({"min_items": 1} if flags["required"] else {})
            else:
                kind = self._entry_type(entry) if entry else self._getter_type(getter)
                attributes[name] = {"type": kind} | {word: True for word, is_so in flags.items() if is_so}
        return {"attributes": attributes, "block_types": blocks}

    def _described(
        self, body: str, entries: dict[str, re.Match[str]], interface: str
    ) -> Iterator[tuple[str, dict[str, bool], str]]:
        """Name, flags and what follows; a provider's own block has no flags, its interface says what is optional."""
        marks = list(_FLAGS.finditer(body))
        ends = [*(mark.start() for mark in marks[1:]), len(body)][: len(marks)]
        for mark, after in zip(marks, ends, strict=True):
            words = dict(
                zip(("computed", "optional", "required"), (w == "true" for w in mark.groups()[1:]), strict=True)
            )
            yield mark[1], words, body[mark.end() : after]
        if not marks:
            given = {name.lower(): optional == "?" for name, optional in _MEMBER.findall(self.text.get(interface, ""))}
            for name in entries:
                optional = given.get(name.replace("_", ""), True)
                yield name, {"computed": False, "optional": optional, "required": not optional}, ""

    def _nested(self, entry: re.Match[str]) -> Schema | None:
        """Give the block an entry is, or none for an attribute."""
        _, value, mode, storage = entry.groups()
        name = re.sub(r"(List|Map)$", "", storage)
        mapped = _MAPPED.search(value)
        if storage[0].islower() or (mapped and mapped[1] == "false"):
            return None
        one = {} if mapped else {"max_items": 1}
        mode = "single" if mode == "struct" else mode
        return {"nesting_mode": mode, "block": self._struct(name)} | ({} if mode == "single" else one)

    def _entry_type(self, entry: re.Match[str]) -> Any:
        _, _, mode, storage = entry.groups()
        word = re.sub(r"(List|Map)+$", "", storage)
        inner = _WORDS[word] if word in _WORDS else self._object(word)
        return inner if mode in ("simple", "struct") else [mode, inner]

    def _getter_type(self, getter: str) -> Any:
        """Give the type of what is only computed, from the expression that reads it."""
        struct = re.search(r"new (\w+?)(List|Map|OutputReference)\(this, \"\w+\"(?:, (true|false))?", getter)
        if struct and f"{struct[1]}OutputReference" in self.text:
            inner = self._object(struct[1])
            box = {"List": "set" if struct[3] == "true" else "list", "Map": "map"}.get(struct[2])
            return [box, inner] if box else inner
        simple = re.search(r"(?:get|new cdkt[fn]\.)(String|Number|Boolean|Any)?(List|Map)?(?:Attribute)?\(", getter)
        if simple is None:
            return "dynamic"
        inner = _WORDS[(simple[1] or "string").lower()]
        box = "set" if "Fn.tolist(" in getter else (simple[2] or "").lower()
        return [box, inner] if box else inner

    def _object(self, name: str) -> Any:
        return _as_object(self._struct(name))


def _as_object(block: Schema) -> Any:
    fields = {key: value["type"] for key, value in block["attributes"].items()}
    for key, value in block["block_types"].items():
        inner = _as_object(value["block"])
        fields[key] = inner if value["nesting_mode"] == "single" else [value["nesting_mode"], inner]
    return ["object", fields]
