"""Tokens as the simulated Entra gives them, sound or with something wrong; and which of them were revoked.

Also the tokens of a workload's own issuer, which an application may trust instead of a secret (RFC 7523).
"""

from typing import Any, Final

from node.rehearsal.simulator.script import Issue
from node.rehearsal.simulator.tokens import Signer, TokenRefusedError

WORKLOAD_ISSUER: Final = "https://issuer.rehearsal"
EXCHANGE: Final = "api://AzureADTokenExchange"
ELSEWHERE: Final = "https://management.azure.com"
NOBODY: Final = "00000000-0000-4000-8000-00000000dead"
EXPIRING_S: Final = 5
KEPT: Final = 100_000


class Issuer:
    """Signs, numbers and revokes."""

    def __init__(self, signer: Signer) -> None:
        """Sign with ``signer``."""
        self._signer = signer
        self._number = 0
        self._revoked_upto = 0
        self._revoked: set[int] = set()

    def access_token(
        self,
        *,
        tenant: str,
        client: str,
        resource: str,
        roles: tuple[str, ...],
        now_s: float,
        life_s: int,
        issue: Issue | None = None,
    ) -> tuple[str, int]:
        """Give a token and the life it is said to have."""
        self._number += 1
        said_s = EXPIRING_S if issue is Issue.EXPIRING else life_s
        if issue is Issue.REVOKED and len(self._revoked) < KEPT:
            self._revoked.add(self._number)
        claims = {
            "aud": ELSEWHERE if issue is Issue.WRONG_AUDIENCE else resource,
            "iss": f"https://sts.windows.net/{tenant}/",
            "iat": int(now_s),
            "nbf": int(now_s),
            "exp": int(now_s) - 60 if issue is Issue.EXPIRED else int(now_s) + said_s,
            "appid": client,
            "idtyp": "app",
            "roles": [] if issue is Issue.NO_ROLES else list(roles),
            "tid": NOBODY if issue is Issue.WRONG_TENANT else tenant,
            "uti": str(self._number),
            "ver": "1.0",
            # Real tokens are 1.5 to 3 KB (facts m365 §3.2); clients must cope with lines of that length.
            "xms_filler": "x" * 1200,
        }
        return self._signer.sign(claims), said_s

    def revoke(self) -> int:
        """Revoke every token given so far; gives their number."""
        self._revoked_upto = self._number
        return self._number

    def revoked(self, claims: dict[str, Any]) -> bool:
        """Tell whether a token was revoked."""
        number = int(claims.get("uti", 0))
        return number <= self._revoked_upto or number in self._revoked

    def workload_token(self, subject: str, now_s: float, life_s: int) -> str:
        """Give a token of the workload's issuer."""
        claims = {
            "iss": WORKLOAD_ISSUER,
            "sub": subject,
            "aud": EXCHANGE,
            "iat": int(now_s),
            "nbf": int(now_s),
            "exp": int(now_s) + life_s,
        }
        return self._signer.sign(claims)

    def check_workload(self, token: str, subjects: tuple[str, ...], now_s: float) -> None:
        """Check a workload's token against those an application trusts; raises TokenRefusedError."""
        try:
            claims = self._signer.verify(token)
        except TokenRefusedError:
            raise TokenRefusedError("AADSTS700211: No matching federated identity record found for issuer") from None
        if claims.get("iss") != WORKLOAD_ISSUER:
            raise TokenRefusedError("AADSTS700211: No matching federated identity record found for issuer")
        if claims.get("aud") != EXCHANGE:
            raise TokenRefusedError("AADSTS700212: No matching federated identity record found for audience")
        if claims.get("sub") not in subjects:
            raise TokenRefusedError("AADSTS700213: No matching federated identity record found for subject")
        if float(claims.get("exp", 0)) <= now_s:
            raise TokenRefusedError("AADSTS700024: Client assertion is not within its valid time range")
