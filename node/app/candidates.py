"""Who could keep this node's copies: the members there are, as the store shows them. Pure but for what it is handed."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from coordinator.keys import Keys, Role, decode
from coordinator.members import MemberRecord
from coordinator.ownership.peers import Candidate
from coordinator.ownership.records import UnreadableRecord, key_of, read_pairing
from coordinator.store.contract import Item


def candidates(
    items: Mapping[str, Item],
    keys: Keys,
    nodes: Collection[str],
    sites: Mapping[str, str],
    resting: Callable[[str], bool],
) -> Iterator[Candidate]:
    """Give every member of the list in force; ``resting``: it takes no copies now (it drains, or had no room)."""
    load = loads(items.values(), keys)
    for node in sorted(nodes):
        item = items.get(keys.member(Role.NODE, node))
        record = decode(item.value, MemberRecord) if item is not None else None
        if record is not None and record.spool:
            yield Candidate(
                node=node,
                spool=record.spool,
                site=sites.get(node, record.site),
                load=load[node],
                healthy=not resting(node),
            )


def loads(items: Iterable[Item], keys: Keys) -> Counter[str]:
    """Count for every node the pairings whose copies it keeps."""
    found: Counter[str] = Counter()
    for item in items:
        key = key_of(keys, item.key)
        if key is None:
            continue
        try:
            pairing = read_pairing(item.value)
        except UnreadableRecord:
            continue
        found[key.shadow] += not pairing.void and pairing.owner != key.shadow
    return found
