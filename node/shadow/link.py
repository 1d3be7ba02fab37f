"""Between whom copies go, and whom their sender tells what becomes of it. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coordinator.ownership.rows import Attached
from node.shadow.frames import Header
from node.shadow.words import Begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Between whom copies go."""

    cluster: str
    attached: Attached
    """The pairing; its key names the spool here and the node that keeps the copies."""
    copy: str
    """The spool of that node, as the pairing has it."""
    store: str = ""
    """Its copy store, as it told when copies of this epoch were first sent; empty: none were."""

    @property
    def node(self) -> str:
        """Name the shadow."""
        return self.attached.key.shadow

    def question(self) -> Begin:
        """Ask to begin."""
        spool, epoch = self.attached.key.spool, self.attached.epoch
        return Begin(cluster=self.cluster, spool=spool, copy=self.copy, epoch=epoch, store=self.store)

    def header(self, stream: int, sequence: int) -> Header:
        """Head a batch."""
        return Header(
            cluster=self.cluster,
            spool=self.attached.key.spool,
            copy=self.copy,
            epoch=self.attached.epoch,
            stream=stream,
            sequence=sequence,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whom the sender tells; the methods return at once."""

    ended: Callable[[str], None] = lambda _why: None
    """No copies are sent any more, and why. Once."""
    late: Callable[[str], None] = lambda _message_id: None
    """A message that counted as unprotected is copied after all."""
    heard: Callable[[Sequence[str]], None] = lambda _message_ids: None
    """The discards of these are durable there."""
    sent: Callable[[int, int], None] = lambda _copies, _size_bytes: None
    """A batch with so many copies and bytes is durable there."""
