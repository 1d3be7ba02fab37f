"""What a changed configuration asks for: which keys take effect at once, which only after a restart, and why. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from node.settings.model import Settings
from node.settings.places import KeyPath, dotted

RESTART: dict[KeyPath, str] = {
    ("cluster",): "membership is taken up at start",
    ("spool",): "the spool is opened at start",
    ("runtime",): "sockets are opened at start",
    ("coordinator",): "relay-coordinator reads it at its start",
    ("hostname",): "the name is announced and kept from start",
    ("virtual_addresses",): "addresses are taken up at start",
    ("listeners", "*", "port"): "ports are opened at start",
    ("listeners", "*", "address"): "ports are opened at start",
    ("intake",): "intake processes are started once",
    ("telemetry", "otlp"): "exporters are built at start",
    ("telemetry", "protocol"): "exporters are built at start",
    ("telemetry", "ca"): "exporters are built at start",
    ("telemetry", "headers"): "exporters are built at start",
    ("telemetry", "prometheus"): "the port is opened at start",
    ("telemetry", "sample"): "the sampler is built at start",
    ("telemetry", "same_trace_for"): "the tracer is built at start",
    ("telemetry", "log_level"): "the log is set up at start",
    ("egress",): "outgoing connections are set up at start",
    ("alarms",): "the webhook is set up at start",
    ("admin", "port"): "the port is opened at start",
    ("admin", "address"): "the port is opened at start",
    ("admin", "certificate"): "the port is opened at start",
    ("admin", "names"): "the port is opened at start",
    ("admin", "oidc"): "the port is opened at start",
    ("admin", "syslog"): "the way there is opened at start",
    ("admin", "trace_url"): "the port is opened at start",
}
"""Keys that cannot change while running; everything else is swapped whole on SIGHUP. ``*``: any name."""
NEW_LISTENER = "ports are opened at start"
HIDDEN = frozenset({"hash"})
MAX_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key that differs; values in the configuration's own form, None where it is absent."""

    path: KeyPath
    before: str | None
    after: str | None
    restart: str = ""
    """Why it takes a restart; empty when it takes effect at once."""

    def __str__(self) -> str:
        """Give the change as one line, with its reason."""
        reason = f" ({self.restart})" if self.restart else ""
        if self.before is None:
            return f"{dotted(self.path)}: added {self.after}{reason}"
        if self.after is None:
            return f"{dotted(self.path)}: removed {self.before}{reason}"
        return f"{dotted(self.path)}: {self.before} -> {self.after}{reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What differs between two configurations."""

    changes: tuple[Change, ...]

    @property
    def reloadable(self) -> list[str]:
        """Changes that take effect at once, one line each."""
        return [str(change) for change in self.changes if not change.restart]

    @property
    def needs_restart(self) -> list[str]:
        """Changes that wait for a restart, one line each with the reason."""
        return [str(change) for change in self.changes if change.restart]


def compare(old: Settings, new: Settings) -> Reload:
    """Compare two configurations key by key; password hashes are only called changed, never shown."""
    before, after = flat(old), flat(new)
    telling = {*flat(old, defaults=False), *flat(new, defaults=False)}  # of a new or gone part, defaults say nothing
    added = {path[:2] for path in {*before} ^ {*after} if path[0] == "listeners" and len(path) > 1}
    fresh = {path for path in added if _listener(old, path) != _listener(new, path)}
    changes = [
        Change(
            path=path,
            before=_shown(path, before.get(path), "the old one"),
            after=_shown(path, after.get(path), "a new one"),
            restart=NEW_LISTENER if path[:2] in fresh else why_restart(path),
        )
        for path in dict.fromkeys((*before, *after))
        if before.get(path) != after.get(path) and ((path in before and path in after) or path in telling)
    ]
    return Reload(changes=tuple(changes))


def why_restart(path: KeyPath) -> str:
    """Give the reason why a key takes a restart; empty when it does not."""
    for pattern, reason in RESTART.items():
        head = path[: len(pattern)]
        if len(head) == len(pattern) and all(want in ("*", part) for want, part in zip(pattern, head, strict=True)):
            return reason
    return ""


def flat(settings: Settings, *, defaults: bool = True) -> dict[KeyPath, Any]:
    """Give every value by its key path, in the configuration's own form; empty parts and absent values are left out.

    Lists of plain values count as one value: a changed entry shows both lists.
    """
    return dict(_leaves((), settings.model_dump(mode="json", by_alias=True, exclude_defaults=not defaults)))


def _leaves(path: KeyPath, value: Any) -> list[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves((*path, key), inner)]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [leaf for index, inner in enumerate(value) for leaf in _leaves((*path, index), inner)]
    return [] if value is None or value == [] else [(path, value)]


def _listener(settings: Settings, path: KeyPath) -> bool:
    return path[1] in settings.listeners


def _shown(path: KeyPath, value: Any, instead: str) -> str | None:
    if value is None:
        return None
    if path[-1] in HIDDEN:
        return instead
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else text
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
