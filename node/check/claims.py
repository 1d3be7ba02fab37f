"""What a token says of itself, read without believing it: only Microsoft can verify it, and only for what we ask. Pure.

Its roles tell which way the app was set up (facts m365 §3.4), and whether it may do more than it should (operations
M12). A token is never shown.
"""

import base64
import binascii
from typing import Final

import msgspec

PARTS: Final = 3
PART_CHARS_MAX: Final = 32_768
SMTP_ROLE: Final = "SMTP.SendAsApp"
BROAD: Final = {
    "Mail.Send": "send as anybody",
    "Mail.ReadWrite": "read and change everybody's mail",
    "Mail.Read": "read everybody's mail",
    "Mail.ReadBasic.All": "see everybody's mail",
    "full_access_as_app": "do everything with every mailbox",
    "Exchange.ManageAsApp": "administrate Exchange",
    "IMAP.AccessAsApp": "read every mailbox it is let into",
    "Directory.ReadWrite.All": "change the directory",
    "RoleManagement.ReadWrite.Directory": "give itself any role",
    "Application.ReadWrite.All": "change any application",
}
"""Roles good for the whole tenant, and what they let the app do."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that matter."""

    audience: str = ""
    tenant: str = ""
    app: str = ""
    roles: tuple[str, ...] = ()
    expires_s: int = 0


class _Raw(msgspec.Struct, frozen=True):
    aud: str = ""
    tid: str = ""
    appid: str = ""
    azp: str = ""
    roles: list[str] = []
    exp: int = 0


def claims_of(token: str) -> Claims | None:
    """Read the claims of a signed token (RFC 7519 §3); None for one that is opaque."""
    parts = token.split(".")
    if len(parts) != PARTS or len(parts[1]) > PART_CHARS_MAX:
        return None
    try:
        data = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        raw = msgspec.json.decode(data, type=_Raw)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return None
    roles = tuple(sorted(raw.roles))
    return Claims(audience=raw.aud, tenant=raw.tid, app=raw.appid or raw.azp, roles=roles, expires_s=raw.exp)


def broad(claims: Claims) -> tuple[str, ...]:
    """Give the roles that reach the whole tenant."""
    return tuple(role for role in claims.roles if role in BROAD)


def audience_fits(claims: Claims, scope: str) -> bool:
    """Tell whether a token is for what its scope asked for (``https://outlook.office365.com/.default``)."""
    wanted = scope.removesuffix("/.default").rstrip("/").lower()
    return claims.audience.rstrip("/").lower() == wanted
