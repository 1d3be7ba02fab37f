"""The right to ask Graph for one mailbox, kept as a connection is: a slot is held, tokens are fetched, nothing is open.

Between two requests there is no session at Microsoft. The slot is one of the mailbox's all the same, since its
submissions are counted whichever way they come (facts m365 §2.1), and two are below the four requests Graph allows.
"""

import asyncio
from dataclasses import dataclass, field

from node.delivery.connection import Session
from node.delivery.endpoint import Endpoint, TokenSource
from node.delivery.errors import Refused
from node.errors import RelayError
from node.m365.graph import Graph
from node.m365.token import AccessToken
from node.policy.reply import Reply, Stage


@dataclass(slots=True, kw_only=True)
class GraphLine(Session):
    """One of a mailbox's slots, used by one attempt at a time."""

    graph: Graph
    tokens: TokenSource
    lost: bool = field(default=False)
    """A request was sent and not answered: it may still be under way there."""

    @property
    def usable(self) -> bool:
        """See Session."""
        return not self.lost

    @property
    def silent(self) -> bool:
        """See Session."""
        return self.lost

    def close(self) -> None:
        """See Session: nothing is open."""

    async def token(self) -> AccessToken:
        """Give a token for Graph. Raises Refused."""
        return await token_of(self.tokens, self.endpoint)

    def refused(self, token: AccessToken) -> bool:
        """Hear that a token was refused; True if another would be had (facts m365 §4.9 row 3)."""
        return self.tokens.invalidate(self.endpoint.flow, token)


async def graph_line(endpoint: Endpoint, graph: Graph | None, tokens: TokenSource | None) -> GraphLine:
    """Open one: a token must be there before mail is claimed. Raises Refused."""
    if graph is None or tokens is None:
        raise Refused(Stage.CONNECT, Reply(code=0, text="graph is not set up"))
    await token_of(tokens, endpoint)
    return GraphLine(endpoint=endpoint, opened_s=asyncio.get_running_loop().time(), graph=graph, tokens=tokens)


async def token_of(tokens: TokenSource, endpoint: Endpoint) -> AccessToken:
    """Give a token for an endpoint. Raises Refused."""
    try:
        return await tokens.token(endpoint.flow)
    except RelayError as error:
        # The errors of the token's room are made to be shown: they carry no secret and no foreign text (I7).
        code, word = (0, "timeout") if error.temporary else (401, "invalid_client")
        raise Refused(Stage.TOKEN, Reply(code=code, text=f"{word} {error}")) from error
