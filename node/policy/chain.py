"""The audit's hash chain: each entry holds the hash of the one before, so that none can be changed or taken out. Pure.

Whoever may write the files can still write a whole new chain, or cut off its end. For that each entry's hash goes to
the log (and from there to syslog) too, where the head of the chain can be compared.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

START: Final = "0" * 64
"""What the first entry has before it."""


def sealed(entry: Mapping[str, Any], number: int, before: str) -> dict[str, Any]:
    """Give an entry with its number, the hash before, and its own."""
    whole = {**entry, "n": number, "before": before}
    return {**whole, "hash": hash_of(whole)}


def hash_of(entry: Mapping[str, Any]) -> str:
    """Give the SHA-256 of an entry without its hash, keys sorted."""
    bare = {key: value for key, value in entry.items() if key != "hash"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def first_fault(lines: Iterable[tuple[str, str]]) -> str:
    """Give the first fault of a chain, by lines and where each stands; empty: it is whole.

    The oldest entries may be gone (files are kept for a time): the first line says where the rest begins.
    """
    number, before = None, ""
    for place, line in lines:
        try:
            entry = json.loads(line)
            own, said, counted = str(entry["hash"]), str(entry["before"]), int(entry["n"])
        except (ValueError, TypeError, KeyError):
            return f"{place}: not an entry"
        if hash_of(entry) != own:
            return f"{place}: changed: its hash does not fit"
        if number is not None and (said != before or counted != number + 1):
            return f"{place}: entry {counted} does not follow entry {number}: something was taken out or put in"
        number, before = counted, own
    return ""
