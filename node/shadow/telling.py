"""What was told of a message since it was copied, put together: where it stands, which attempts are open. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.shadow.entries import Intent, Lines, Outcome, Progress
from node.spool.contract import JourneyLine

Told = Intent | Outcome | Lines

_encoder = msgspec.msgpack.Encoder()
_progress = msgspec.msgpack.Decoder(tuple[Progress, ...])
_BY_NUMBER: Final[dict[int, type[Intent] | type[Outcome] | type[Lines]]] = {1: Intent, 2: Outcome, 3: Lines}
_NUMBERS: Final = {kind: number for number, kind in _BY_NUMBER.items()}
_DECODERS: Final = {number: msgspec.msgpack.Decoder(kind) for number, kind in _BY_NUMBER.items()}


def fold(
    progress: Iterable[Progress], told: Iterable[Told]
) -> tuple[tuple[Progress, ...], tuple[Intent, ...], tuple[JourneyLine, ...]]:
    """Give progress by recipient, intents without an outcome, and all lines; later words count."""
    stands = {each.index: each for each in progress}
    open_: dict[str, Intent] = {}
    lines: list[tuple[JourneyLine, ...]] = []
    for each in told:
        if isinstance(each, Intent):
            open_[each.attempt_id] = each
        elif isinstance(each, Outcome):
            open_.pop(each.attempt_id, None)
            stands |= {one.index: one for one in each.progress}
        else:
            lines.append(each.lines)
    return tuple(stands[index] for index in sorted(stands)), tuple(open_.values()), joined(lines)


def joined(told: Iterable[Iterable[JourneyLine]]) -> tuple[JourneyLine, ...]:
    """Put steps in a row. One that was told again counts where it was told last, for all that followed it came too."""
    found: dict[bytes, JourneyLine] = {}
    for lines in told:
        for line in lines:
            name = _encoder.encode(line)
            found.pop(name, None)
            found[name] = line
    return tuple(found.values())


def stored(told: Told) -> tuple[int, bytes]:
    """What was told as a number for its kind and octets."""
    return _NUMBERS[type(told)], _encoder.encode(told)


def told_of(kind: int, what: bytes) -> Told | None:
    """Read it; None for what cannot be read."""
    try:
        return _DECODERS[kind].decode(what)
    except (KeyError, msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
        return None


def progress_bytes(progress: tuple[Progress, ...]) -> bytes:
    """Progress as stored."""
    return _encoder.encode(progress)


def progress_of(data: bytes) -> tuple[Progress, ...] | None:
    """Read it; None for what cannot be read."""
    try:
        return _progress.decode(data)
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError, RecursionError):
        return None
