"""Decisions made before under the same rules: applications say the same few things all day.

A memory belongs to one value of the rules, so a reload forgets everything. Only what follows from the rules, the client
and the key alone may be put in it. Knows nothing of what is decided.
"""

from typing import Generic, TypeVar

from node.policy.clients import ClientRule

ENTRIES = 2048
"""When full it is emptied: a stranger who varies everything costs only the look-up."""
TEXT_LENGTH = 320
"""Longer texts are not repeated by anybody honest, and would make the bound on entries none on memory."""
_Key = tuple[str, str | bytes, str, bool, bool]
_T = TypeVar("_T")


class Memory(Generic[_T]):
    """Decisions by client and text."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[_Key, tuple[ClientRule, _T]] = {}

    def recall(
        self, client: ClientRule, text: str | bytes, tenant: str = "", *, lenient: bool = False, utf8: bool = False
    ) -> _T | None:
        """Give what was decided for this very rule; a rule of the same name from before a reload does not count."""
        found = self._known.get((client.name, text, tenant, lenient, utf8))
        return found[1] if found is not None and found[0] is client else None

    def keep(
        self,
        client: ClientRule,
        text: str | bytes,
        decision: _T,
        tenant: str = "",
        *,
        lenient: bool = False,
        utf8: bool = False,
    ) -> None:
        """Keep a decision, within the bounds."""
        if len(text) > TEXT_LENGTH:
            return
        if len(self._known) >= ENTRIES:
            self._known.clear()
        self._known[(client.name, text, tenant, lenient, utf8)] = (client, decision)


def repeatable(head: str, path: str) -> bool:
    """Whether the argument up to its first space is the whole path in brackets: then any parameters may follow it.

    Beyond ASCII the judgement hangs on SMTPUTF8, so that is judged anew each time.
    """
    return head == f"<{path}>" and path.isascii()
