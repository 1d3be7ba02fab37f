"""Slots given up just before the store fell silent: whether they arrived, by everybody's word (coordination-review §5).

The giver never heard whether its transaction happened; if it did, the heir may hold the slot. While *all* nodes are
without a session nobody can come to hold anything, so when all say in one round that they do not hold it, and will not
before their next session, it is the giver's as before. Pure.
"""

from collections.abc import Iterable

ROUNDS_MAX = 8


class Limbo:
    """Whose words are missing, for one node; bounded by ``ROUNDS_MAX`` rounds."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._rounds: dict[int, dict[str, set[str]]] = {}

    def asked(self, sent_ms: int, names: Iterable[str]) -> None:
        """Begin a round about some slots."""
        self._rounds[sent_ms] = {name: set() for name in names}
        while len(self._rounds) > ROUNDS_MAX:
            del self._rounds[min(self._rounds)]

    def told(self, sent_ms: int, node: str, not_held: Iterable[str], nodes: frozenset[str]) -> list[str]:
        """Take a node's word of a round; the slots of which by now all ``nodes`` said in it that they have them not."""
        asked = self._rounds.get(sent_ms, {})
        found = []
        for name in not_held:
            if name in asked:
                asked[name].add(node)
                if nodes <= asked[name]:
                    found.append(name)
                    del asked[name]
        return found

    def ended(self) -> None:
        """Somebody may have a session: no word of before counts."""
        self._rounds.clear()
