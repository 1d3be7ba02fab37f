"""``relayctl support``: one file for whoever helps, with what they need and nobody's mail, names or secrets."""

import gzip
import io
import json
import os
import platform
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node import __version__
from node.cli.cluster import whole
from node.cli.common import SocketOption, connect, console, styled, told
from node.cli.errors import UsageError
from node.cli.output import ConfigOption, config_file
from node.cli.remote import Remote
from node.errors import RelayError
from node.policy.redact import Redactor

LOG_BYTES: Final = 8 << 20
"""Read of the end of each log given."""
MESSAGES: Final = 500
MODE: Final = 0o600
PAGES: Final = ("accounts", "budget", "shares", "clients")


@told
def support(
    file: Annotated[Path, typer.Argument(help="Where to write it: a .tar.gz that only you may read.")],
    log: Annotated[list[Path] | None, typer.Option("--log", help="A log to add, redacted; may be repeated.")] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Write a bundle for support: state, numbers, configuration, logs. Addresses become tokens, secrets go."""
    if file.exists():
        raise UsageError(f"{file}: exists already; nothing was written")
    redactor = Redactor(secrets.token_bytes(32))
    found: dict[str, str] = {}
    for name, read in _parts(log or [], config, socket):
        try:
            text = read()
            plain = name.endswith((".txt", ".yaml"))
            found[name] = redactor.text(text) if plain else _json(redactor.value(json.loads(text)))
        except (RelayError, OSError, ValueError) as error:
            found[f"missing/{name}.txt"] = redactor.text(f"{type(error).__name__}: {error}\n")
    _write(file, found)
    for name in sorted(found):
        console.print(styled(f"{name}: {len(found[name].encode())} bytes"))
    console.print(styled(f"{file}: written. Look into it before you give it away."))


def _parts(logs: list[Path], config: Path | None, socket: Path | None) -> Iterator[tuple[str, Callable[[], str]]]:
    """Name each part and how it is read; one that cannot be read is missing, the rest is written."""
    yield "machine.json", lambda: json.dumps(_machine())
    yield "configuration.yaml", lambda: config_file(config).read_text("utf-8", "replace")
    yield "status.json", lambda: json.dumps(whole(connect(socket)))
    for page in PAGES:
        yield f"{page}.json", partial(_page, page, socket)
    yield "waiting.json", lambda: json.dumps(_waiting(connect(socket)))
    yield "metrics.txt", lambda: _metrics(connect(socket))
    for number, log in enumerate(logs, 1):
        yield f"logs/{number}-{log.name}.txt", partial(_end_of, log)


def _page(name: str, socket: Path | None) -> str:
    return json.dumps(connect(socket).get(f"/v1/{name}"))


def _machine() -> dict[str, Any]:
    disk = os.statvfs("/")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "root_free_bytes": disk.f_bavail * disk.f_frsize,
        "at_ms": time.time_ns() // 1_000_000,
        "packages": {each.name: each.version for each in distributions()},
    }


def _waiting(remote: Remote) -> Any:
    """Mail that waits, with what happened to it; the interface has neither subjects nor bodies."""
    return remote.get("/v1/messages", states="queued,deferred,held,unknown", limit=MESSAGES)


def _metrics(remote: Remote) -> str:
    text = bytearray()
    remote.download("/metrics", text.extend)
    return text.decode("utf-8", "replace")


def _end_of(log: Path) -> str:
    with log.open("rb") as opened:
        size = opened.seek(0, io.SEEK_END)
        opened.seek(max(0, size - LOG_BYTES))
        return opened.read(LOG_BYTES).decode("utf-8", "replace")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _write(file: Path, parts: dict[str, str]) -> None:
    """Write the archive; it is not there unless it is whole."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, text in sorted(parts.items()):
            data = text.encode("utf-8", "replace")
            about = tarfile.TarInfo(f"m365-relay-support/{name}")
            about.size, about.mode, about.mtime = len(data), MODE, int(time.time())
            archive.addfile(about, io.BytesIO(data))
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(handle, "wb") as written:
        written.write(packed.getvalue())
