"""Who could keep this node's copies: the members there are, as the store shows them. Pure but for what it is handed."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

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
    """Give every member of the list in force; ``resting``: it takes no copies now (it drains)."""
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


def others_first(found: Iterable[Candidate], me: str, until_s: Callable[[str], float]) -> list[Candidate]:
    """Let others come before nodes that took no copies lately; where there are no others, the one shunned first stays.

    ``until_s``: when a node is to be asked again, 0 for one that is not shunned. What it was shunned for may be over
    long before, and to have no copies at all is worse than to ask in vain.
    """
    everybody = list(found)
    there = [each for each in everybody if each.healthy and each.node != me]
    first = min(there, key=lambda each: until_s(each.node), default=None)
    return [
        replace(each, healthy=False) if each in there and each is not first and until_s(each.node) else each
        for each in everybody
    ]


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
