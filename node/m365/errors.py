"""What can go wrong on the way to Microsoft's HTTPS services, tokens first. Texts carry no secret and no reply.

An answer's own words are never repeated: an identity provider, or something posing as one, may echo what was sent.
"""

from enum import StrEnum

from node.errors import PermanentError, TemporaryError


class AlertReason(StrEnum):
    """Why there is no new token; the names alerts and metrics use."""

    SECRET_WRONG = "entra_secret_wrong"  # noqa: S105 - a name, not a password
    SECRET_EXPIRED = "entra_secret_expired"  # noqa: S105 - as above
    CERTIFICATE_REFUSED = "entra_certificate_refused"  # not registered, expired, or signature does not fit
    FEDERATION_REFUSED = "entra_federation_refused"  # no federated credential fits issuer, subject and audience
    IDENTITY_MISSING = "managed_identity_missing"  # the machine has no such identity
    APP_UNKNOWN = "entra_app_unknown"  # in this tenant
    APP_DISABLED = "entra_app_disabled"
    TENANT_UNKNOWN = "entra_tenant_unknown"
    SCOPE_REFUSED = "entra_scope_refused"  # permission or consent is missing, or the scope is mistyped
    BLOCKED = "entra_blocked"  # conditional access or a risk policy
    REFUSED = "entra_refused"  # for good, for a reason without a row of its own
    CREDENTIAL_UNUSABLE = "entra_credential_unusable"  # on our side: file missing, no RSA key, wrong password
    CLOCK_WRONG = "entra_clock_wrong"  # the assertion's time does not fit theirs
    THROTTLED = "entra_throttled"
    UNREACHABLE = "entra_unreachable"
    TIMED_OUT = "entra_timed_out"
    SERVER_ERROR = "entra_server_error"
    UNREADABLE = "entra_answer_unreadable"
    UNCLEAR = "entra_unclear"  # refused, but with a code nobody has listed: may pass


class TokenUnavailable(TemporaryError):  # noqa: N818 - a state of affairs
    """No token now; ask again at ``retry_ms``. Mail that needs one waits."""

    def __init__(self, reason: AlertReason, text: str, *, retry_after_s: float = 0.0) -> None:
        """``retry_after_s`` is what the other side asked for, 0 if it said nothing."""
        super().__init__(text)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.retry_ms = 0
        """Set by TokenSource."""


class TokenRefused(PermanentError):  # noqa: N818 - as above
    """No token until a person changes something in Entra or in the configuration. Alert; asked again only rarely."""

    def __init__(self, reason: AlertReason, text: str) -> None:
        """*text* says what to change."""
        super().__init__(text)
        self.reason = reason
        self.retry_ms = 0
        """Set by TokenSource: when it looks again by itself; sooner if the credential file changes."""


class CredentialUnusable(TokenRefused):
    """The secret or certificate on our side cannot be used; nothing was sent."""

    def __init__(self, text: str) -> None:
        """*text* names the place, never the content."""
        super().__init__(AlertReason.CREDENTIAL_UNUSABLE, text)


class UnknownTenant(TokenRefused):
    """The configuration has no app for this tenant."""

    def __init__(self, tenant: str) -> None:
        """Name the tenant asked for."""
        super().__init__(AlertReason.CREDENTIAL_UNUSABLE, f"tenant {tenant} has no app to sign in as")


class HttpFailed(TemporaryError):  # noqa: N818 - says what happened
    """No answer came. ``word``: ``dns``, ``refused``, ``timeout``, ``tls``, ``certificate``, ``closed``."""

    def __init__(self, word: str, text: str) -> None:
        """Keep the word apart from the text for people."""
        super().__init__(text)
        self.word = word
