"""The transactions on an address's two keys, and how their values are read (coordination-review §2). Pure.

Every one of them is guarded by the session besides (``SessionRunner.guarded``).
"""

from coordinator.address_facts import Key
from coordinator.keys import Keys, decode, encode
from coordinator.store.contract import Compare, Delete, Field, Item, Put, Write, absent

Transaction = tuple[tuple[Compare, ...], tuple[Write, ...]]


def to_take(
    keys: Keys, name: str, node: str, *, lease: int, stored: Item | None, wanted: tuple[str, ...]
) -> Transaction:
    """Take the absent key, the list unchanged; a list is written where none is, or where none of it counts any more.

    A list that cannot be read is left as it is: nobody's promises complete it, so it keeps nothing in silence.
    """
    nodes = keys.address_nodes(name)
    put = Put(key=keys.address(name), value=encode(node), lease=lease)
    unchanged = absent(nodes) if stored is None else Compare(key=nodes, field=Field.MOD, equals=stored.mod_revision)
    known = names_of(stored)
    relist = stored is None or (known and node not in known)
    writes = (put, Put(key=nodes, value=encode(list(wanted)))) if relist else (put,)
    return (absent(put.key), unchanged), writes


def to_delete(keys: Keys, name: str, key: Key) -> Transaction:
    """Delete the key as we wrote it."""
    mine = Compare(key=keys.address(name), field=Field.MOD, equals=key.revision)
    return (mine,), (Delete(key=mine.key),)


def to_list(keys: Keys, name: str, key: Key, *, stored: Item, wanted: tuple[str, ...]) -> Transaction:
    """Change the list as known while the key is ours."""
    mine = Compare(key=keys.address(name), field=Field.MOD, equals=key.revision)
    unchanged = Compare(key=stored.key, field=Field.MOD, equals=stored.mod_revision)
    return (mine, unchanged), (Put(key=stored.key, value=encode(list(wanted))),)


def names_of(item: Item | None) -> tuple[str, ...]:
    """Read a list; one that cannot be read names nobody."""
    return tuple(decode(item.value, list[str]) or ()) if item is not None else ()


def key_of(item: Item | None) -> Key | None:
    """Read the key; a value that cannot be read is a holder nobody knows: taken all the same."""
    if item is None:
        return None
    return Key(holder=decode(item.value, str) or "?", lease=item.lease, revision=item.mod_revision)
