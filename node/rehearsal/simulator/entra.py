"""What the token endpoint answers: form fields in, status and JSON out (facts m365 §3.3). Knows no HTTP server.

``now_s`` is seconds since the epoch; the lifetime's randomness is handed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.rehearsal.simulator.directory import Directory
from node.rehearsal.simulator.inhabitants import Application, TenantSpec
from node.rehearsal.simulator.tokens import AppCertificate, Signer, TokenRefusedError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ROLE = "SMTP.SendAsApp"
_GRAPH = "https://graph.microsoft.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntraAnswer:
    """HTTP status and JSON body."""

    status: int
    body: dict[str, Any]


class _RefusalError(Exception):
    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


def refusal(status: int, error: str, description: str) -> EntraAnswer:
    """Word an error as Entra does; the number in ``AADSTSn`` becomes ``error_codes``."""
    digits = description.removeprefix("AADSTS").partition(":")[0]
    body: dict[str, Any] = {"error": error, "error_description": description}
    if digits.isdigit():
        body["error_codes"] = [int(digits)]
    return EntraAnswer(status=status, body=body)


def discovery(tenant: str, base_url: str) -> dict[str, Any]:
    """Give the OpenID configuration of a tenant as far as token clients read it."""
    root = f"{base_url}/{tenant}"
    return {
        "issuer": f"{root}/v2.0",
        "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
        "token_endpoint": f"{root}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
        "jwks_uri": f"{root}/discovery/v2.0/keys",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
    }


class Entra:
    """The token endpoint of every tenant in the directory."""

    def __init__(self, signer: Signer) -> None:
        """Sign with ``signer``; certificates are read when first needed."""
        self._signer = signer
        self._certificates: dict[str, AppCertificate] = {}

    def token(
        self,
        directory: Directory,
        tenant: str,
        form: Mapping[str, str],
        audiences: frozenset[str],
        now_s: float,
        life_s: int,
    ) -> EntraAnswer:
        """Answer a request to ``/{tenant}/oauth2/v2.0/token``; ``audiences`` are the URLs an assertion may name."""
        try:
            client, app = _application(directory, tenant, form)
            self._check_credential(app, client, form, audiences, now_s)
            resource = _resource(directory, app, form)
        except _RefusalError as no:
            return refusal(no.status, no.error, no.description)
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{tenant}/",
            "iat": int(now_s),
            "nbf": int(now_s),
            "exp": int(now_s) + life_s,
            "appid": client,
            "idtyp": "app",
            "roles": [ROLE] if app.permission else [],
            "tid": tenant,
            "ver": "1.0",
            # Real tokens are 1.5 to 3 KB (facts m365 §3.2); clients must cope with lines of that length.
            "xms_filler": "x" * 1200,
        }
        token = self._signer.sign(claims)
        return EntraAnswer(
            status=200,
            body={"token_type": "Bearer", "expires_in": life_s, "ext_expires_in": life_s, "access_token": token},
        )

    def _check_credential(
        self, app: Application, client: str, form: Mapping[str, str], audiences: frozenset[str], now_s: float
    ) -> None:
        if form.get("client_assertion_type") == ASSERTION_TYPE:
            self._check_assertion(app, client, form.get("client_assertion", ""), audiences, now_s)
            return
        secret = form.get("client_secret")
        if secret is None:
            raise _RefusalError(
                401, "invalid_client", "AADSTS7000218: The request body must contain client_assertion or client_secret"
            )
        if secret in app.expired_secrets:
            raise _RefusalError(
                401, "invalid_client", f"AADSTS7000222: The provided client secret keys for app '{client}' are expired"
            )
        if secret not in app.secrets:
            raise _RefusalError(
                401, "invalid_client", f"AADSTS7000215: Invalid client secret provided for app '{client}'"
            )

    def _check_assertion(
        self, app: Application, client: str, assertion: str, audiences: frozenset[str], now_s: float
    ) -> None:
        why = "AADSTS700027: The certificate with this thumbprint is not registered"
        for path in app.certificates:
            certificate = self._certificates.get(str(path))
            if certificate is None:
                certificate = self._certificates[str(path)] = AppCertificate(path)
            try:
                certificate.verify(assertion, client, audiences, now_s)
            except TokenRefusedError as no:
                why = str(no)
            else:
                return
        raise _RefusalError(401, "invalid_client", why)


def _application(directory: Directory, tenant: str, form: Mapping[str, str]) -> tuple[str, Application]:
    spec: TenantSpec | None = directory.tenants.get(tenant)
    if spec is None:
        raise _RefusalError(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found")
    if form.get("grant_type") != "client_credentials":
        raise _RefusalError(400, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type")
    client = form.get("client_id", "")
    app = spec.apps.get(client)
    if app is None:
        raise _RefusalError(
            400,
            "unauthorized_client",
            f"AADSTS700016: Application with identifier '{client}' was not found in the directory '{tenant}'",
        )
    return client, app


def _resource(directory: Directory, app: Application, form: Mapping[str, str]) -> str:
    scope = form.get("scope", "")
    resource = scope.removesuffix("/.default")
    if resource == scope or resource not in (directory.audience, _GRAPH):
        raise _RefusalError(400, "invalid_scope", f"AADSTS70011: The provided value for scope '{scope}' is not valid")
    if resource == directory.audience and not app.permission:
        raise _RefusalError(
            400, "invalid_scope", "AADSTS70011: The application has no consented permission for this resource"
        )
    return resource
