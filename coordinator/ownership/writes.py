"""The transactions on pairings, as conditions and writes (coordination-review §3). Pure.

Every one of them is guarded by the session besides (``SessionRunner.guarded`` adds ``create_revision(members/me) =
inc``), compares the revision of the pairing as read, and is sent once: an answer that was lost is read back.
"""

from msgspec.structs import replace

from coordinator.keys import Keys, Role
from coordinator.ownership.records import Pairing, PairKey, UnreadableRecord, write
from coordinator.ownership.seats import Seat
from coordinator.ownership.views import Me, State, View
from coordinator.store.contract import Compare, Delete, Item, Put, Write, absent, created_at, unchanged

Transaction = tuple[tuple[Compare, ...], tuple[Write, ...]]


def to_pair(keys: Keys, view: View, me: Me, shadow: Seat, *, revision: int) -> Transaction:
    """Make a pairing of my spool: the key absent, or void, or the other end's with nothing left to settle here.

    *revision* is the newest of the store that is known: it makes the epoch, which is never used twice, since the key
    would have to be as it was read. The shadow must be there with the spool it shows.
    """
    epoch = max(revision, view.epoch + 1)
    pairing = Pairing(owner=me.node, epoch=epoch, copy=shadow.spool)
    return (_same(keys, view), _there(keys, shadow)), (_put(keys, view.key, pairing),)


def to_claim(keys: Keys, view: View) -> Transaction:
    """Write again what is mine, unchanged: whoever meant to adopt or take what I had left must read it anew."""
    return (_same(keys, view),), (_put(keys, view.key, _known(view)),)


def to_adopt(keys: Keys, view: View, me: Me, owner: Seat | None) -> Transaction:
    """Take over what the other end owned: the pairing as read, and its owner's seat as read (absent, or another)."""
    pairing = _known(view)
    seat = absent(keys.member(Role.NODE, pairing.owner)) if owner is None else _there(keys, owner)
    return (_same(keys, view), seat), (_put(keys, view.key, replace(pairing, owner=me.node)),)


def to_void(keys: Keys, view: View) -> Transaction:
    """Say that the other end's rows no longer count, before anything is copied elsewhere."""
    return (_same(keys, view),), (_put(keys, view.key, replace(_known(view), void=True)),)


def to_give(keys: Keys, view: View, heir: Seat) -> Transaction:
    """Give what is mine to the other end, which is there and has it all."""
    return (_same(keys, view), _there(keys, heir)), (_put(keys, view.key, replace(_known(view), owner=heir.node)),)


def to_remove(keys: Keys, view: View, record: Item) -> Transaction:
    """Remove the key of a lost disk's pairing under which nothing is left here; *record* says that the disk is lost."""
    return (_same(keys, view), unchanged(record)), (Delete(key=keys.ownership(view.key.spool, view.key.shadow)),)


def _same(keys: Keys, view: View) -> Compare:
    return absent(keys.ownership(view.key.spool, view.key.shadow)) if view.item is None else unchanged(view.item)


def _there(keys: Keys, seat: Seat) -> Compare:
    return created_at(keys.member(Role.NODE, seat.node), seat.inc)


def _put(keys: Keys, key: PairKey, pairing: Pairing) -> Put:
    return Put(key=keys.ownership(key.spool, key.shadow), value=write(pairing))


def _known(view: View) -> Pairing:
    if view.pairing is None or view.state is State.STRANGE:
        raise UnreadableRecord(view.fault or "no pairing is known")
    return view.pairing
