"""Which protocol a question is asked in: a header of every question, looked at before its body. Pure.

A process asks in the protocol of the level in force and answers in every one it knows, so the moment at which the
others hear of a new level does not matter. Fields it does not know it passes over (a minor version adds such); a route
it does not know it refuses by name.
"""

from dataclasses import dataclass
from typing import Final

HEADER: Final = "Relay-Protocol"
"""A whole number. Questions without it are of the first version, which did not say so."""
UNSAID: Final = 1
_DIGITS_MAX: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaks:
    """What a process answers."""

    oldest: int = UNSAID
    newest: int = UNSAID
    version: str = ""
    """Of the program, for people."""

    def __str__(self) -> str:
        """Say it in a refusal."""
        whole = str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"
        return f"version {self.version or 'unknown'} speaks {whole}"

    def refusal(self, said: str | None) -> str:
        """Say why a question is not answered, by what its header says; empty: it is."""
        if said is None:
            asked = UNSAID
        elif said.isascii() and said.isdigit() and len(said) <= _DIGITS_MAX:
            asked = int(said)
        else:
            return f"{HEADER} must be a whole number"
        return "" if self.oldest <= asked <= self.newest else f"protocol {asked} is not spoken here: {self}"
