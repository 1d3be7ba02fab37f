"""Batches of copies, pairings and their two ends, with values that say nothing surprising."""

from coordinator.ownership.records import Pairing, PairKey, write
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import Me, View, learned
from coordinator.store.contract import Item
from node.shadow.entries import Copy
from node.shadow.frames import Batch, Header
from node.shadow.link import Link
from node.spool.rows import facts_of
from tests.support.spool_mail import BODY, message

CLUSTER = "corp-mail"
SPOOL = "11111111-1111-4111-8111-111111111111"
COPY = "22222222-2222-4222-8222-222222222222"
OWNER, SHADOW = "relay-a", "relay-b"
ME = Me(node=SHADOW, spool=COPY)


def attached(epoch: int = 7, spool: str = SPOOL) -> Attached:
    return Attached(key=PairKey(spool=spool, shadow=SHADOW), epoch=epoch)


def link(epoch: int = 7, store: str = "") -> Link:
    return Link(cluster=CLUSTER, attached=attached(epoch), copy=COPY, store=store)


def header(sequence: int = 1, stream: int = 1, **more) -> Header:
    facts = {"cluster": CLUSTER, "spool": SPOOL, "copy": COPY, "epoch": 7, "stream": stream, "sequence": sequence}
    return Header(**(facts | more))


def copy(message_id: str = "", body: bytes = BODY, **more) -> Copy:
    made = message(message_id)
    facts = {"message_id": made.id, "facts": facts_of(made), "size_bytes": len(body), "body": body}
    return Copy(**(facts | more))


def batch(sequence: int, *entries, stream: int = 1, **more) -> Batch:
    return Batch(header=header(sequence, stream, **more), entries=entries)


def view(owner: str = OWNER, epoch: int = 7, *, me: Me = ME, void: bool = False, copy: str = COPY) -> View:
    """The pairing as an end that has no session sees it."""
    pairing = Pairing(owner=owner, epoch=epoch, void=void, copy=copy)
    item = Item(key="ownership", value=write(pairing), create_revision=epoch, mod_revision=epoch)
    return learned(View(key=attached().key), item, me, inc=1)
