"""One input made of others: octets changed, cut, doubled, joined, words put in. Pure: chance is handed in."""

from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (0, 1, 9, 10, 13, 32, 34, 46, 58, 60, 62, 64, 92, 127, 128, 192, 255)
LONG = 300
MOST_CHANGES = 6


def mutated(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes], most: int) -> bytes:
    """Give a neighbour of ``data``, at most ``most`` octets long."""
    out = data
    for _ in range(chance.randint(1, MOST_CHANGES)):
        way = chance.choice(WAYS)
        out = way(chance, out, others, tokens)
    return out[:most]


def _place(chance: Random, data: bytes) -> tuple[int, int]:
    """A piece of it: short ones are likelier."""
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((0, 1, 1, 2, 4, 8, 16, 64)))


def _flip(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


def _number(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    return data[:start] + bytes((chance.choice(NUMBERS),)) + data[end:]


def _cut(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    return data[:start] + data[end:]


def _end(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _doubled(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, end = _place(chance, data)
    times = chance.choice((1, 1, 2, 8, LONG))
    return data[:start] + data[start:end] * times + data[start:]


def _token(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    if not tokens:
        return _number(chance, data, others, tokens)
    start, end = _place(chance, data)
    return data[:start] + chance.choice(tokens) + data[chance.choice((start, end)) :]


def _joined(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else b""
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _swapped(chance: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return data[::-1] if len(data) < 8 else data
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


Way = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]
WAYS: tuple[Way, ...] = (_flip, _number, _cut, _end, _doubled, _token, _token, _joined, _swapped)
