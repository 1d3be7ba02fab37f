"""Keyed hashes in place of addresses in history, as the settings want it: shown at once, later on disk.

The spool keeps addresses of settled mail for ``history.hash_after``: reports of late bounces are matched by them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.app.digest import key_in
from node.delivery.clock import wall_ms
from node.errors import ConfigurationError
from node.policy.pseudonym import KEY_LEAST_CHARS, Pseudonyms
from node.settings.model import Settings
from node.settings.secrets import read_secret
from node.spool.contract import Filter, MessageView
from node.spool.hiding import Hider

if TYPE_CHECKING:
    from node.app.node import Node

KEY: Final = "history.key"
HIDE_EVERY_S: Final = 60.0


class Hiding:
    """Whether addresses are hidden, and how."""

    def __init__(self, hider: Hider | None = None) -> None:
        """``hider``: None while addresses are shown in full; a reload may change it."""
        self.hider = hider

    def view(self, view: MessageView) -> MessageView:
        """Give a message as it may be shown."""
        hider = self.hider
        return view if hider is None else hider.view(view)

    def variants(self, which: Filter) -> tuple[Filter, ...]:
        """Give what is to be asked of a store for a filter: what is found by an address, and by its hash."""
        hider = self.hider
        return (which,) if hider is None else hider.variants(which)

    def names(self, address: str) -> tuple[str, ...]:
        """Give all that stands for an address in history."""
        hider = self.hider
        return (address,) if hider is None else tuple(dict.fromkeys((address, hider.one(address))))


def hider_of(settings: Settings, kept: Path) -> Hider | None:
    """Give what hides addresses; None: they are kept in full. Raises ConfigurationError if the key cannot be used."""
    if settings.history.addresses == "full":
        return None
    ref = settings.history.key
    if ref is None:  # a node alone: the check of the settings saw to it
        return Hider(Pseudonyms(key_in(kept, KEY)))
    text = read_secret(ref).reveal()
    if len(text) < KEY_LEAST_CHARS:
        raise ConfigurationError([f"history.key: a key has at least {KEY_LEAST_CHARS} characters"])
    return Hider(Pseudonyms(text.encode()))


async def hide(node: "Node") -> None:
    """Go on hiding what is on disk: a chore."""
    if node.hiding.hider is not None:
        await node.spool.hide(node.hiding.hider, wall_ms() - int(node.settings.history.hash_after * 1000))
    if node.protection is not None:
        await node.protection.copies.hide(node.hiding.hider)
