"""Looks for mail at Microsoft: its copy in Sent Items, its rows in the message trace. Decides nothing, sends nothing.

A copy is known by the line of ours in its header (``policy/marker.py``), never by its Message-ID alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from node.delivery.endpoint import TokenSource
from node.delivery.errors import DeliveryError
from node.errors import RelayError
from node.m365.graph import Graph, GraphAnswer, asked, mailbox_url, moment, quoted, tenant_url
from node.policy.envelope import NewMessage
from node.policy.marker import MARKER_PROPERTY, marked_in

MESSAGES: Final = "messages"
SENT: Final = "mailFolders/sentitems/messages"
TRACES: Final = "admin/exchange/tracing/messageTraces"
LIST_S: Final = 30.0
COPIES: Final = 25
"""Copies with one Message-ID that are looked at; more of them prove nothing by absence."""
RECIPIENTS: Final = 20
"""Recipients asked of the trace in one look; it allows few questions."""
UNAUTHORIZED: Final = 401
_SUCCESS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where it shows what a way has sent."""

    graph: str
    """Root of Microsoft Graph."""
    flow: str
    """Name of the tokens it needs."""
    mailbox: str = ""
    """Whose Sent Items; empty: the way leaves no copies."""
    keeps_copies: bool = False
    """Whether it counts that a copy is not there."""
    traced: bool = False
    """The tenant lets its message trace be read."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What Sent Items showed of one message."""

    indexes: frozenset[int]
    """Recipients it was sent for."""
    whole: bool
    """All there is was seen, so that what is missing is missing."""


class LookFailed(DeliveryError):  # noqa: N818 - says what happened
    """It could not be looked: nothing is known."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        """Say why, and after how many seconds the other side wants to be asked again (0: not said)."""
        super().__init__(why)
        self.after_s = after_s


class Looker:
    """Asks Graph. One per node."""

    def __init__(self, graph: Graph, tokens: TokenSource) -> None:
        """Ask with these tokens."""
        self._graph = graph
        self._tokens = tokens

    async def copies(self, archive: Archive, message_id: str, queue_id: str, *, rebuilt: bool = False) -> Sighting:
        """Look into Sent Items. Raises LookFailed.

        ``rebuilt``: it may carry a Message-ID that was not ours to choose; a property leads to it instead.
        """
        seen = await self._matching(archive, f"internetMessageId eq {quoted(message_id)}", queue_id)
        if not rebuilt:
            return seen
        of_ours = f"ep/id eq {quoted(MARKER_PROPERTY)} and ep/value eq {quoted(queue_id)}"
        more = await self._matching(archive, f"singleValueExtendedProperties/any(ep: {of_ours})", queue_id)
        return Sighting(seen.indexes | more.indexes, seen.whole and more.whole)

    async def traced(self, archive: Archive, message: NewMessage, indexes: Iterable[int], since_ms: int) -> set[int]:
        """Give the recipients whom the trace shows this message for. Raises LookFailed.

        Rows older than ``since_ms`` are of another message that carries the same Message-ID.
        """
        found: set[int] = set()
        for index in sorted(indexes)[:RECIPIENTS]:
            address = message.recipients[index].address
            wanted = (
                f"messageId eq {quoted(message.message_id)} and recipientAddress eq {quoted(address)}"
                f" and receivedDateTime ge {moment(since_ms)}"
            )
            answer = await self._ask(archive, asked(tenant_url(archive.graph, TRACES), {"$filter": wanted}))
            if _rows(answer)[0]:
                found.add(index)
        return found

    async def head(self, archive: Archive, message_id: str) -> bytes:
        """Give the header of a message that lies anywhere in a mailbox; empty: it is not there. Raises LookFailed."""
        listing = mailbox_url(archive.graph, archive.mailbox, MESSAGES)
        wanted = {"$filter": f"internetMessageId eq {quoted(message_id)}", "$select": "id", "$top": "1"}
        rows, _ = _rows(await self._ask(archive, asked(listing, wanted)))
        if not rows:
            return b""
        one = f"{listing}/{quote(str(rows[0].get('id')), safe='')}/$value"
        answer = await self._ask(archive, one, plain=True, gone=True)
        return answer.text.partition(b"\r\n\r\n")[0] if answer.status // 100 == _SUCCESS else b""

    async def _matching(self, archive: Archive, condition: str, queue_id: str) -> Sighting:
        """List the copies a condition fits, and read the header of each."""
        wanted = {"$filter": condition, "$select": "id", "$top": str(COPIES)}
        listing = mailbox_url(archive.graph, archive.mailbox, SENT)
        rows, whole = _rows(await self._ask(archive, asked(listing, wanted)))
        found: frozenset[int] = frozenset()
        for row in rows:
            copy = f"{listing}/{quote(str(row.get('id')), safe='')}/$value"
            answer = await self._ask(archive, copy, plain=True, gone=True)
            # One that was moved away between the two questions may have been the one.
            whole = whole and answer.status // 100 == _SUCCESS
            found |= marked_in(answer.text, queue_id)
        return Sighting(found, whole)

    async def _ask(self, archive: Archive, url: str, *, plain: bool = False, gone: bool = False) -> GraphAnswer:
        """Ask once, with a new token if this one is refused; ``gone``: that it is not there is an answer too."""
        for again in (True, False):
            try:
                token = await self._tokens.token(archive.flow)
                answer = await self._graph.call("GET", url, token, timeout_s=LIST_S, plain=plain)
            except RelayError as error:
                raise LookFailed(str(error)) from error
            if answer.status == UNAUTHORIZED and again and self._tokens.invalidate(archive.flow, token):
                continue
            if (answer.readable and answer.status // 100 == _SUCCESS) or (gone and answer.status == 404):  # noqa: PLR2004
                return answer
            break
        raise LookFailed(f"{answer.status} {answer.code}".strip(), answer.retry_after_s)


def _rows(answer: GraphAnswer) -> tuple[list[dict[str, Any]], bool]:
    """Give the rows of a listing, and whether there are no more. Raises LookFailed for anything else."""
    value = answer.value
    rows = value.get("value") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LookFailed("the answer is no list")
    return rows, "@odata.nextLink" not in value
