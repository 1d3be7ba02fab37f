"""``relayctl config``: check, explain, schema, diff. Reads files only; speaks to no node."""

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import EXIT_PROBLEM, EXIT_USAGE, JsonOption, show, show_json
from node.cli.errors import UsageError, explained
from node.cli.output import ConfigOption, NodeOption, config_file, read_config, say, say_fault, say_warning
from node.errors import ConfigurationError
from node.settings.places import KeyPath, dotted
from node.settings.reader import Loaded, load
from node.settings.reload import compare, why_restart
from node.settings.rules import copies_in_force
from node.settings.schema import Key, describe, keys_at, schema

config_app = typer.Typer(help="Check, explain and compare configurations.", no_args_is_help=True)
FileArgument = Annotated[Path | None, typer.Argument(help="Configuration; default as for --config elsewhere.")]
_PART = re.compile(r'"([^"]+)"|\[(\d{1,9})\]|([^.\[\]"]+)')


@config_app.command("check")
def check(
    file: FileArgument = None,
    node: NodeOption = None,
    elsewhere: Annotated[
        bool, typer.Option("--elsewhere", help="This machine is not to run it: do not look for files and secrets.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when there are warnings.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Report every fault with its place. Exit 0: fine, 2: faults, 1: warnings with --strict."""
    path = config_file(file)
    try:
        loaded = load(path, node_name=node, here=not elsewhere)
    except ConfigurationError as error:
        _report_faults(path, error.faults, as_json=as_json)
        raise typer.Exit(EXIT_USAGE) from None
    if as_json:
        show_json(_facts(path, loaded))
    else:
        for warning in loaded.warnings:
            say_warning(warning)
        say(f"{path}: {_summary(loaded)}", "green")
    if strict and loaded.warnings:
        raise typer.Exit(EXIT_PROBLEM)


def _report_faults(path: Path, faults: list[str], *, as_json: bool) -> None:
    if as_json:
        show_json({"file": str(path), "ok": False, "faults": faults, "warnings": []})
        return
    for fault in faults:
        say_fault(fault)
    say_fault(f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''}")


def _facts(path: Path, loaded: Loaded) -> dict[str, Any]:
    return {
        "file": str(path),
        "ok": True,
        "faults": [],
        "warnings": loaded.warnings,
        "node": loaded.node,
        "text_hash": loaded.text_hash,
        "cluster_hash": loaded.cluster_hash,
    }


def _summary(loaded: Loaded) -> str:
    settings = loaded.settings
    accounts = sum(len(tenant.service_accounts) for tenant in settings.tenants.values())
    counts = (("tenant", len(settings.tenants)), ("service account", accounts), ("client", len(settings.clients)))
    parts = [f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts]
    return f"fine; {', '.join(parts)}; cluster-wide part {loaded.cluster_hash[:12]}"


@config_app.command("explain")
@explained
def explain(
    key: Annotated[
        str, typer.Argument(help="Such as limits.idle or clients.billing.plan; every top key when absent.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a key means, what may stand there, its default, and what is in force in a configuration."""
    path = parse_key(key)
    described = describe(path)
    if described is None:
        raise UsageError(_unknown(path))
    loaded = read_config(config) if config_file(config).exists() else None
    value, written = in_force(loaded, path) if loaded else (None, False)
    below = {name: describe((*path, name)) for name in described.keys}
    value, source = inherited(loaded, path) if loaded and value is None else (value, "")
    if as_json:
        show_json(_explained(path, described, value, written=written) | ({"from_key": source} if source else {}))
        return
    if path:
        _print_key(path, described, value, source or ("the file" if written else ""))
    rows = [(name, one.form, _plain(one.default), one.meaning) for name, one in below.items() if one is not None]
    if rows:
        show(rows, ("key", "takes", "default", "meaning"), empty="")


def parse_key(text: str) -> KeyPath:
    """Read ``clients."a.b".networks[0]``; names holding dots stand in quotes. Raises UsageError."""
    path: list[str | int] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None:
            raise UsageError(f"{text!r}: expected a key such as limits.idle or clients.billing.networks[0]")
        path.append(int(found[2]) if found[2] else found[1] or found[3])
        at = found.end() + (text[found.end() : found.end() + 1] == ".")
    return tuple(path)


def in_force(loaded: Loaded, path: KeyPath) -> tuple[Any, bool]:
    """Give the value at *path* in the configuration's own form, and whether a file says so (else it is a default)."""
    value: Any = loaded.settings.model_dump(mode="json", by_alias=True)
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None, False
    return value, path in loaded.written


def inherited(loaded: Loaded, path: KeyPath) -> tuple[Any, str]:
    """Give what is in force of a key that is not given, and the key that says it; None and nothing where none does."""
    match path:
        case ("clients", str(name), "copies"):
            copies, place = copies_in_force(loaded.settings, name)
        case ("plans", str(name), "copies"):
            copies, place = copies_in_force(loaded.settings, plan=name)
        case _:
            return None, ""
    return (copies.value, dotted(place)) if place else (None, "")


def _unknown(path: KeyPath) -> str:
    depth = next((depth for depth in range(len(path)) if describe(path[: depth + 1]) is None), len(path) - 1)
    known = keys_at(path[:depth])
    near = difflib.get_close_matches(str(path[depth]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known) or 'none below this'}"
    return f"{dotted(path[: depth + 1])}: there is no such key; {hint}"


def _print_key(path: KeyPath, key: Key, value: Any, source: str) -> None:
    say(dotted(path), "bold")
    say(f"  takes: {key.form}{' (required)' if key.required else ''}")
    if key.meaning:
        say(f"  means: {key.meaning}")
    if _plain(key.default):
        say(f"  default: {_plain(key.default)}")
    if value is not None and not isinstance(value, dict):
        say(f"  in force: {_plain(value)} ({f'from {source}' if source else 'default'})")
    say(f"  on reload: {'needs a restart, ' + why_restart(path) if why_restart(path) else 'takes effect at once'}")


def _explained(path: KeyPath, key: Key, value: Any, *, written: bool) -> dict[str, Any]:
    return {
        "key": dotted(path),
        "takes": key.form,
        "means": key.meaning,
        "default": key.default,
        "required": key.required,
        "keys": list(key.keys),
        "in_force": value,
        "from_file": written,
        "restart": why_restart(path),
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ""  # its keys are shown one by one
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@config_app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema, for editors and for checks before roll-out."""
    show_json(schema())


@config_app.command("diff")
@explained
def diff(
    old: Annotated[Path, typer.Argument(help="The configuration now in use.")],
    new: Annotated[Path, typer.Argument(help="The one to come.")],
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 when they differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what changes, what takes effect on reload, and what needs a restart."""
    before, after = load(old, here=False), load(new, here=False)
    found = compare(before.settings, after.settings)
    same_cluster = before.cluster_hash == after.cluster_hash
    if as_json:
        show_json(
            {
                "reloadable": found.reloadable,
                "needs_restart": found.needs_restart,
                "cluster_hash_changes": not same_cluster,
            }
        )
    else:
        _print_changes("takes effect on reload", found.reloadable)
        _print_changes("needs a restart", found.needs_restart)
        if not found.changes:
            say("no difference")
        elif not same_cluster:
            say("the cluster-wide part changes: give every node the same file")
    if exit_code and found.changes:
        raise typer.Exit(EXIT_PROBLEM)


def _print_changes(title: str, lines: list[str]) -> None:
    if lines:
        say(title, "bold")
    for line in lines:
        say(f"  {line}")


if __name__ == "__main__":
    config_app()
