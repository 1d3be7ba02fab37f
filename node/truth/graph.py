"""Mailboxes through Graph: delta queries on a folder, messages in MIME form. Reads only.

A cursor is the link Graph gave; it is followed only to the configured root, so that no token goes anywhere else.
``messages/delta`` and ``$value``: Graph reference, v1.0. Not confirmed by any source: that ``$value`` renders a report
in a mailbox with its ``message/delivery-status`` part (facts m365 §8 lists what is open).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from node.errors import RelayError
from node.m365.errors import HttpFailed
from node.m365.graph import Graph, GraphAnswer, asked, mailbox_url, moment
from node.m365.https import Https
from node.m365.token import AccessToken
from node.truth.contract import Item, Page
from node.truth.errors import CursorExpired, MailboxRefused, MailboxUnavailable, NotThere

REQUEST_S: Final = 60.0
PAGE_ITEMS: Final = 50
CURSOR_CHARS: Final = 16_384
_GONE: Final = 410
_STALE: Final = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired"})
_UNAUTHORISED: Final = 401
_NOT_FOUND: Final = 404
_REFUSED: Final = frozenset({400, 403})
_FIRST_ERROR: Final = 400


class Tokens(Protocol):
    """Where tokens for Graph come from."""

    async def token(self, tenant: str) -> AccessToken:
        """Give one that is valid for some minutes; raises RelayError."""
        ...

    def invalidate(self, tenant: str, token: AccessToken | None = None) -> bool:
        """Hear that it was refused."""
        ...


class GraphMailboxes:
    """Implements ``MailboxReader``."""

    def __init__(self, https: Https, tokens: Tokens, roots: Mapping[str, str], flow: Callable[[str], str]) -> None:
        """``roots``: Graph's root by tenant; ``flow`` names a tenant's tokens for Graph."""
        self._https, self._graph, self._tokens = https, Graph(https), tokens
        self.roots, self._flow = roots, flow

    async def changes(self, tenant: str, mailbox: str, folder: str, cursor: str, since_ms: int) -> Page:
        """See MailboxReader."""
        root = self._root(tenant)
        url = cursor if cursor and _same_host(cursor, root) else _first(root, mailbox, folder, since_ms)
        token = await self._token(tenant)
        headers = {"Prefer": f'odata.maxpagesize={PAGE_ITEMS}, IdType="ImmutableId"'}
        try:
            answer = await self._graph.call("GET", url, token, headers=headers, timeout_s=REQUEST_S)
        except HttpFailed as error:
            raise MailboxUnavailable(f"Graph: {error}") from None
        self._check(answer, tenant, token)
        return _page(answer, root)

    async def content(self, tenant: str, mailbox: str, item: str) -> bytes:
        """See MailboxReader."""
        token = await self._token(tenant)
        url = mailbox_url(self._root(tenant), mailbox, f"messages/{quote(item, safe='')}/$value")
        headers = {"Authorization": f"Bearer {token.value}", "Accept": "text/plain"}
        try:
            answer = await self._https.ask("GET", url, headers, timeout_s=REQUEST_S)
        except HttpFailed as error:
            raise MailboxUnavailable(f"Graph: {error}") from None
        if answer.status >= _FIRST_ERROR:
            self._check(GraphAnswer(status=answer.status), tenant, token)
        return answer.body

    def _root(self, tenant: str) -> str:
        root = self.roots.get(tenant)
        if root is None:
            raise MailboxRefused(f"tenant {tenant} is not configured to be read")
        return root

    async def _token(self, tenant: str) -> AccessToken:
        try:
            return await self._tokens.token(self._flow(tenant))
        except RelayError as error:
            if error.temporary:
                raise MailboxUnavailable(f"no token for Graph: {error}") from None
            raise MailboxRefused(f"no token for Graph: {error}") from None

    def _check(self, answer: GraphAnswer, tenant: str, token: AccessToken) -> None:
        """Judge an answer that is none; texts name Graph's code only, its words may hold anything."""
        status, code = answer.status, answer.code
        if status < _FIRST_ERROR:
            if not answer.readable:
                raise MailboxUnavailable("Graph's answer is none: a proxy or a front end in trouble")
            return
        if status == _GONE or code.lower() in _STALE:
            raise CursorExpired(f"Graph answers {status} {code}")
        if status == _UNAUTHORISED:
            self._tokens.invalidate(self._flow(tenant), token)
            raise MailboxUnavailable(f"Graph refuses the token ({code or status})")
        if status == _NOT_FOUND:
            raise NotThere(f"Graph answers {status} {code}".strip())
        if status in _REFUSED:
            raise MailboxRefused(f"Graph answers {status} {code}".strip())
        raise MailboxUnavailable(f"Graph answers {status} {code}".strip(), retry_after_s=answer.retry_after_s)


def _first(root: str, mailbox: str, folder: str, since_ms: int) -> str:
    """Give where reading begins: what came into a folder since a moment."""
    query = {
        "changeType": "created",
        "$select": "id,receivedDateTime,from",
        "$filter": f"receivedDateTime ge {moment(since_ms)}",
    }
    return asked(mailbox_url(root, mailbox, f"mailFolders/{folder}/messages/delta"), query)


def _same_host(url: str, root: str) -> bool:
    wanted, ours = urlsplit(url), urlsplit(root)
    return (wanted.scheme, wanted.netloc) == (ours.scheme, ours.netloc) and len(url) <= CURSOR_CHARS


def _page(answer: GraphAnswer, root: str) -> Page:
    value = answer.value if isinstance(answer.value, dict) else {}
    more = value.get("@odata.nextLink")
    cursor = more or value.get("@odata.deltaLink")
    if not isinstance(cursor, str) or not _same_host(cursor, root):
        raise MailboxUnavailable("Graph's answer names no place to go on")
    listed = value.get("value")
    rows = listed if isinstance(listed, list) else []
    items = tuple(item for item in map(_item, rows[: 10 * PAGE_ITEMS]) if item is not None)
    return Page(items=items, cursor=cursor, more=bool(more))


def _item(row: Any) -> Item | None:
    """Read one row; what was removed, or is none, is left out."""
    if not isinstance(row, dict) or "@removed" in row or not isinstance(row.get("id"), str):
        return None
    sender = row.get("from")
    address = sender.get("emailAddress") if isinstance(sender, dict) else None
    text = address.get("address") if isinstance(address, dict) else ""
    at = row.get("receivedDateTime")
    return Item(
        id=row["id"],
        received_ms=_ms(at) if isinstance(at, str) else 0,
        sender=text.lower() if isinstance(text, str) else "",
    )


def _ms(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return 0
