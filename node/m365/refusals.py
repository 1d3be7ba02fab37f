"""What Entra's refusals mean: a table from its codes to a reason, permanent or not. Pure.

Codes in facts/m365.md §3.3 are marked there; the others are of Microsoft's published list of AADSTS codes. A code
without a row is temporary, since unknown means temporary, and shows as ``entra_unclear``.
"""

import re

import msgspec

from node.m365.errors import AlertReason, TokenRefused, TokenUnavailable

TOO_MANY = 429
SERVER_ERRORS = 500
_CODE = re.compile(r"\bAADSTS(\d{4,8})\b")
_OAUTH = re.compile(r"\b(invalid_scope|invalid_client|unauthorized_client|invalid_resource|access_denied)\b")


class Meaning(msgspec.Struct, frozen=True):
    """One row: the reason, and what a person has to do about it."""

    reason: AlertReason
    advice: str
    permanent: bool = True


_SCOPE = Meaning(AlertReason.SCOPE_REFUSED, "grant and consent the permission, and check the cloud's scope setting")
_CERTIFICATE = Meaning(AlertReason.CERTIFICATE_REFUSED, "register this certificate with the app, or renew it")
_FEDERATION = Meaning(
    AlertReason.FEDERATION_REFUSED, "check issuer, subject and audience of the app's federated credential"
)
_BLOCKED = Meaning(AlertReason.BLOCKED, "exclude the app from the conditional access or risk policy that blocks it")
_BUSY = Meaning(AlertReason.SERVER_ERROR, "nothing: it passes", permanent=False)

ENTRA_CODES: dict[int, Meaning] = {
    7000215: Meaning(AlertReason.SECRET_WRONG, "put the secret's value (not its id) into the secret file"),
    7000222: Meaning(AlertReason.SECRET_EXPIRED, "make a new secret and put it into the secret file"),
    7000216: Meaning(AlertReason.SECRET_WRONG, "configure a secret or a certificate for the app"),
    7000218: Meaning(AlertReason.SECRET_WRONG, "configure a secret or a certificate for the app"),
    7000112: Meaning(AlertReason.APP_DISABLED, "enable the enterprise application's sign-in"),
    7000114: Meaning(AlertReason.APP_DISABLED, "use the app registration's client id, not a first-party one"),
    700016: Meaning(AlertReason.APP_UNKNOWN, "check client_id, and that the app exists in this tenant"),
    700027: _CERTIFICATE,
    700021: _CERTIFICATE,
    700030: _CERTIFICATE,
    50012: _CERTIFICATE,
    70021: _FEDERATION,
    700211: _FEDERATION,
    700212: _FEDERATION,
    700213: _FEDERATION,
    700024: Meaning(AlertReason.CLOCK_WRONG, "set this host's clock", permanent=False),
    90002: Meaning(AlertReason.TENANT_UNKNOWN, "check the tenant's id and the cloud it lives in"),
    900021: Meaning(AlertReason.TENANT_UNKNOWN, "check the tenant's id"),
    900023: Meaning(AlertReason.TENANT_UNKNOWN, "check the tenant's id"),
    900382: Meaning(AlertReason.TENANT_UNKNOWN, "set the authority of the tenant's own cloud"),
    70011: _SCOPE,
    500011: _SCOPE,
    1002012: _SCOPE,
    65001: _SCOPE,
    650052: _SCOPE,
    650057: _SCOPE,
    53003: _BLOCKED,
    530032: _BLOCKED,
    530033: _BLOCKED,
    530035: _BLOCKED,
    50053: _BLOCKED,
    50196: Meaning(AlertReason.THROTTLED, "nothing: it passes", permanent=False),
    90033: _BUSY,
    90006: _BUSY,
    90024: _BUSY,
    50000: _BUSY,
}

OAUTH_ERRORS: dict[str, Meaning] = {
    "invalid_scope": _SCOPE,
    "invalid_resource": _SCOPE,
    "invalid_client": Meaning(AlertReason.REFUSED, "check the app's secret or certificate"),
    "unauthorized_client": Meaning(AlertReason.REFUSED, "check client_id and the app's permissions"),
    "access_denied": _BLOCKED,
}
"""RFC 6749 §5.2, for answers without a listed AADSTS code."""


def refusal(status: int, words: str, *, retry_after_s: float = 0.0) -> TokenRefused | TokenUnavailable:
    """Judge an error answer by its HTTP status and its words; the words themselves are not passed on."""
    if status == TOO_MANY:
        text = "Entra answers 429: too many token requests"
        return TokenUnavailable(AlertReason.THROTTLED, text, retry_after_s=retry_after_s)
    if status >= SERVER_ERRORS:  # whatever its words say: a server in trouble may say anything
        text = f"Entra answers {status}"
        return TokenUnavailable(AlertReason.SERVER_ERROR, text, retry_after_s=retry_after_s)
    name, meaning = _look_up(words)
    if meaning is None:
        text = f"Entra refuses with {name or f'status {status}'}"
        return TokenUnavailable(AlertReason.UNCLEAR, text, retry_after_s=retry_after_s)
    text = f"Entra refuses with {name} ({meaning.reason}): {meaning.advice}"
    if meaning.permanent:
        return TokenRefused(meaning.reason, text)
    return TokenUnavailable(meaning.reason, text, retry_after_s=retry_after_s)


def _look_up(words: str) -> tuple[str, Meaning | None]:
    """Find the code or OAuth error that counts and its row: listed codes, then unlisted ones, then OAuth errors."""
    codes = [int(found) for found in _CODE.findall(words)]
    for code in codes:
        if code in ENTRA_CODES:
            return f"AADSTS{code}", ENTRA_CODES[code]
    if codes:
        return f"AADSTS{codes[0]}", None
    oauth = _OAUTH.search(words)
    return (oauth[1], OAUTH_ERRORS[oauth[1]]) if oauth else ("", None)
