"""What the store keeps of pairings and spools, and how it is read (coordination-review §3).

``ownership/<spool>/<shadow node>`` → ``Pairing``; ``spool/<uuid>`` → ``SpoolRecord``. What cannot be read, or is a
newer version's, raises ``UnreadableRecord``: it is present but not understood, so nobody mistakes it for absent.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.keys import Keys, encode

FORM: Final = 1
"""The form of records this version writes, and the newest it reads."""
READ_MAX: Final = 1_024
"""Values of each kind whose reading is remembered: the same few are asked about again and again, for every row."""


class UnreadableRecord(CoordinatorError):  # noqa: N818 - a state of affairs
    """A value under ``ownership/`` or ``spool/`` that this version does not understand; the text says why."""

    temporary = False


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PairKey:
    """Which pairing: the spool's id and the name of the node that keeps its copies."""

    spool: str
    shadow: str


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns the rows of one epoch."""

    form: int = FORM
    owner: str
    """A node's name: the spool's own node, or the shadow."""
    epoch: int
    """Only rows of this epoch belong to the pairing. Never used twice for one key."""
    void: bool = False
    """The other end's rows no longer count: they are, or are about to be, copied elsewhere."""
    copy: str
    """The shadow's spool when the pairing was made: under another one its copies are gone."""


class SpoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far a spool had come, and whose it was."""

    form: int = FORM
    sequence: int
    """How far it had come; the spool remembers telling it."""
    node: str
    inc: int
    """The session that wrote this."""
    lost: bool = False
    """Its disk is given up as lost (``retiring.py``): put back, it is not used."""


Record = TypeVar("Record", Pairing, SpoolRecord)


class _Form(msgspec.Struct, frozen=True):
    form: int


@lru_cache(maxsize=READ_MAX)
def read_pairing(value: bytes) -> Pairing:
    """Read a pairing; raises UnreadableRecord."""
    found = _read(value, Pairing)
    if not found.owner or not found.copy or found.epoch < 1:
        raise UnreadableRecord("a pairing that names no owner, no copy or no epoch")
    return found


@lru_cache(maxsize=READ_MAX)
def read_spool(value: bytes) -> SpoolRecord:
    """Read a spool's record; raises UnreadableRecord."""
    found = _read(value, SpoolRecord)
    if not found.node or found.sequence < 0 or found.inc < 0:
        raise UnreadableRecord("a spool's record that names no node, or numbers below nothing")
    return found


def write(record: Pairing | SpoolRecord) -> bytes:
    """Write a record."""
    return encode(record)


def key_of(keys: Keys, key: str) -> PairKey | None:
    """Name the pairing a key is about; None for any other key."""
    found = keys.pairing_of(key)
    return None if found is None else PairKey(spool=found[0], shadow=found[1])


def _read(value: bytes, kind: type[Record]) -> Record:
    try:
        form = msgspec.json.decode(value, type=_Form).form
        if not 1 <= form <= FORM:
            raise UnreadableRecord(f"form {form} is a newer version's; this one reads up to {FORM}")
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"not a {kind.__name__}: {error}") from None
