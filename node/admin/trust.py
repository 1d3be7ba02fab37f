"""Who ordered what another node asks of this one: found by the order's own proof, never by that node's word.

A node that is taken over has its own certificate and may ask; it has no operator's key, so it orders nothing
(operations §5, threat model).
"""

import os
import time
from collections.abc import Callable, Iterable
from typing import Final

from node.admin.access import Caller, Denied, Role, Token, permit
from node.admin.oidc import Oidc
from node.admin.oidc_sessions import OF_OIDC
from node.policy.proof import ANY_NODE, NONCE_BYTES, Credential, Proof, Signed, holds, statement

FRESH_S: Final = 60.0
"""An order is carried on at once; clocks may differ by so much too."""
SEEN_MAX: Final = 20_000
"""Orders of the last minutes, so that none counts twice; when there are more, new ones wait."""
UNPROVEN: Final = (
    "takes orders of an operator, not of a node: show your token (RELAY_TOKEN_FILE; it needs admin.tokens.NAME.sign)"
)


class Trust:
    """What one node knows of operators."""

    def __init__(
        self,
        cluster: str,
        node: str,
        tokens: Iterable[Token] = (),
        oidc: Oidc | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """``oidc``: the provider people may sign in at; ``now_ms``: wall clock."""
        self.cluster, self.node, self._oidc, self._now_ms = cluster, node, oidc, now_ms
        self._tokens: dict[bytes, Token] = {}
        self._seen: dict[bytes, int] = {}
        self.replace(tokens)

    def replace(self, tokens: Iterable[Token]) -> None:
        """Others are in force."""
        self._tokens = {token.key: token for token in tokens if token.key}

    def signed(self, credential: Credential, node: str, route: str, body: bytes) -> Signed:
        """Let somebody sign what he orders of another node, or of ANY_NODE."""
        said = statement(self.cluster, node, route, body)
        return Signed(body=body, proof=credential.prove(said, self._now_ms(), os.urandom(NONCE_BYTES)))

    async def once(self, came: str, route: str, signed: Signed, least: Role) -> Caller:
        """Give who ordered what *came* from another node just now.

        Raises Denied: too old, heard before, or not his to order.
        """
        caller = await self._proven(came, route, self.node, signed, least, FRESH_S)
        self._note(signed.proof)
        return caller

    async def lasting(self, came: str, route: str, signed: Signed, least: Role, within_s: float) -> Caller:
        """The same of an order to all nodes that is asked again until it is done, so it must bear repeating."""
        return await self._proven(came, route, ANY_NODE, signed, least, within_s)

    async def _proven(self, came: str, route: str, node: str, signed: Signed, least: Role, within_s: float) -> Caller:
        proof, age_ms = signed.proof, self._now_ms() - signed.proof.at_ms
        if not holds(proof, statement(self.cluster, node, route, signed.body)):
            raise Denied(401, "the order's proof does not hold")
        if not -FRESH_S * 1000 <= age_ms <= within_s * 1000:
            raise Denied(401, "the order is too old, or the clocks differ")
        name, role = await self._who(proof)
        caller = Caller(name=name, role=role, at=came, proven=True)
        permit(caller, least)
        return caller

    async def _who(self, proof: Proof) -> tuple[str, Role]:
        if proof.id_token and self._oidc is not None:
            person = await self._oidc.known(proof.id_token, proof.key, proof.at_ms)
            return f"{OF_OIDC}{person.name}", person.role
        token = self._tokens.get(proof.key)
        if token is None or token.until_ms <= self._now_ms():
            raise Denied(401, "the order is signed with a token that is not known here, or has ended")
        return token.name, token.role

    def _note(self, proof: Proof) -> None:
        now_ms = self._now_ms()
        if proof.nonce in self._seen:
            raise Denied(401, "the order was heard before")
        if len(self._seen) >= SEEN_MAX:
            self._seen = {nonce: at_ms for nonce, at_ms in self._seen.items() if now_ms - at_ms <= 2 * FRESH_S * 1000}
        if len(self._seen) >= SEEN_MAX:
            raise Denied(429, "too many orders at once; try again in a minute")
        self._seen[proof.nonce] = proof.at_ms
