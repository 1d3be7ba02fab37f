"""Where a reconciliation gets its facts: files or the simulator's control port. Reads; judges nothing."""

import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.load.reconcile import Arrival, Kept

TIMEOUT_S = 60.0


def read_arrivals(source: str) -> list[Arrival]:
    """Read the simulator's control URL, its report at exit, or lines of JSON; raises RehearsalInputError."""
    if source.startswith(("http://", "https://")):
        return _lines(_fetched(source.rstrip("/").removesuffix("/stats") + "/deliveries"), source)
    data = _content(Path(source))
    if data.lstrip().startswith(b"{") and b'"deliveries"' in data:
        try:
            return msgspec.json.decode(data, type=_Report).deliveries
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RehearsalInputError(f"{source}: no simulator report: {error}") from None
    return _lines(data, source)


def read_kept(path: Path) -> Iterator[Kept]:
    """Read what the relay still has: JSON (a list, or lines) of objects with ``id``, or plain ids, one a line.

    ``relayctl queue list --json`` is such a list; there the id stands in ``message``.
    """
    for number, item in enumerate(_items(path), 1):
        if isinstance(item, dict) and isinstance(item.get("message"), dict):
            item = {**item, "id": item["message"].get("id")}  # noqa: PLW2901 - the same item in the other form
        if isinstance(item, str):
            yield Kept(id=item)
        elif isinstance(item, dict) and isinstance(item.get("id"), str):
            yield from _kept(item)
        else:
            raise RehearsalInputError(f"{path}: item {number}: expected an id or an object with an id")


def read_ids(path: Path) -> Iterator[str]:
    """Read ids as ``read_kept`` does, and give only them."""
    return (kept.id for kept in read_kept(path))


class _Report(msgspec.Struct):
    deliveries: list[Arrival]


def _kept(item: dict[str, Any]) -> Iterator[Kept]:
    state = str(item.get("state") or "queued")
    recipients = item.get("recipients")
    if not isinstance(recipients, list):
        yield Kept(id=item["id"], state=state, recipient=str(item.get("recipient") or ""))
        return
    for one in recipients:
        if isinstance(one, dict):
            yield Kept(id=item["id"], state=str(one.get("state") or state), recipient=str(one.get("address") or ""))
        else:
            yield Kept(id=item["id"], state=state, recipient=str(one))


def _items(path: Path) -> Iterable[Any]:
    data = _content(path)
    try:
        if data.lstrip().startswith(b"["):
            return list(msgspec.json.decode(data))
        return [
            msgspec.json.decode(line) if line.startswith((b"{", b'"')) else line.decode()
            for line in (raw.strip() for raw in data.splitlines())
            if line
        ]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RehearsalInputError(f"{path}: neither JSON nor ids: {error}") from None


def _lines(data: bytes, place: str) -> list[Arrival]:
    decode = msgspec.json.Decoder(Arrival).decode
    arrivals = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                arrivals.append(decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise RehearsalInputError(f"{place}:{number}: no delivery: {error}") from None
    return arrivals


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RehearsalInputError(f"{path}: cannot be read: {error}") from error


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - http(s) checked by the caller
            return bytes(answer.read())
    except (urllib.error.URLError, OSError) as error:
        raise RehearsalInputError(f"{url}: cannot be read: {error}") from error
