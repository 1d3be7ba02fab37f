"""Requests and answers of the administration interface, apart from the library that carries them."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from node.admin.access import LOCAL, Caller, Role
from node.admin.queries import object_of, parameters

JSON: Final = "application/json"
MAIL: Final = "message/rfc822"


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    query: tuple[tuple[str, str], ...] = ()
    match: Mapping[str, str] = {}
    """What stands in place of the names in the route's path."""
    body: bytes = b""
    known: frozenset[str] = frozenset()
    """What the route's query or body may name (``routes.py``)."""
    caller: Caller = Caller(name="local", role=Role.ADMIN, at=LOCAL)

    def values(self) -> dict[str, str]:
        """Give the query's parameters; raises BadRequestError."""
        return parameters(self.query, self.known)

    def object(self) -> dict[str, object]:
        """Give the body, a JSON object; raises BadRequestError."""
        parameters(self.query)
        return object_of(self.body, self.known)


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, for the log and the audit: a sentence and its facts, without addresses of people."""

    text: str
    facts: Mapping[str, object] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: a value that becomes JSON, or octets, or a stream of them."""

    value: object = None
    raw: bytes | None = None
    stream: AsyncIterator[bytes] | None = None
    kind: str = JSON
    status: int = 200
    deed: Deed | None = None


def missing(text: str) -> Answer:
    """There is no such thing."""
    return Answer(value={"error": text}, status=404)
