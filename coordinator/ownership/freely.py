"""What may be attempted while the store is silent for all: rows whose other end never took them over. Pure.

Going on without a session needs everybody's word that theirs is lost too (``fallback.py``, §5). From then on nobody
can take a pairing over: every transaction needs a live session, and whoever is about to begin one says so to all first,
which ends the going on everywhere before that session exists. What remains is what happened *before*: the other end may
have taken a pairing over after I last saw its key. It knows that better than I: whatever it did, it was told, or its
transaction is still unanswered. So its word, given without a session, is enough for one pairing:

- It knows nothing since its process began: it may have taken it in a life before. It counts as owner.
- It has a live session: it may take it now. It counts as owner.
- A transaction of its that takes the pairing is unanswered: it may have been done. It counts as owner.
- Else what it last saw says who owns it, for only the owner changes a key, or the end that takes it.

And for what I gave away or made void without an answer nobody's word helps: the store may have done it, and the other
end not have heard of it. Rows of no pairing, of an older epoch of my own spool's, or of a void pairing of mine need no
word: nobody adopts them.
"""

from dataclasses import dataclass

from coordinator.ownership.moves import Here
from coordinator.ownership.views import Me, State, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An end's answer about one pairing: whether it owns it, or may."""

    owned: bool


def word(view: View | None, me: Me, *, epoch: int, live: bool, fresh: bool, taking: bool) -> Word:
    """Say whether I own a pairing's rows of an epoch by what I last knew, or may by what I did.

    ``fresh``: I have seen all that was before my last session; ``taking``: a transaction of mine is unanswered.
    """
    if live or not fresh or taking:
        return Word(owned=True)
    if view is None or view.item is None:
        return Word(owned=False)
    if view.pairing is None or view.state is State.STRANGE:
        return Word(owned=True)
    return Word(owned=view.pairing.owner == me.node and view.epoch >= epoch)


def stands(view: View, here: Here, me: Me) -> bool | None:
    """Say whether rows here may be attempted as far as this end knows; None: if the other end's word says so too."""
    if not here.own:
        return True
    if view.pairing is None or view.state is State.STRANGE or view.left or view.pairing.owner != me.node:
        return False
    return True if view.pairing.void else None
