"""What the token endpoint answers: form fields in, status and JSON out (facts m365 §3.3). Knows no HTTP server.

``now_s`` is seconds since the epoch; the lifetime's randomness is handed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.rehearsal.simulator.directory import Directory
from node.rehearsal.simulator.inhabitants import Application, TenantSpec
from node.rehearsal.simulator.issuing import Issuer
from node.rehearsal.simulator.script import Issue
from node.rehearsal.simulator.tokens import AppCertificate, Signer, TokenRefusedError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ROLE = "SMTP.SendAsApp"
GRAPH = "https://graph.microsoft.com"


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
        self.issuer = Issuer(signer)
        self._certificates: dict[str, AppCertificate] = {}

    def token(
        self,
        directory: Directory,
        tenant: str,
        form: Mapping[str, str],
        audiences: frozenset[str],
        now_s: float,
        life_s: int,
        issue: Issue | None = None,
    ) -> EntraAnswer:
        """Answer a request to ``/{tenant}/oauth2/v2.0/token``; ``audiences`` are the URLs an assertion may name."""
        try:
            client, app = _application(directory, tenant, form)
            self._check_credential(app, client, form, audiences, now_s)
            resource = _resource(directory, app, form)
        except _RefusalError as no:
            return refusal(no.status, no.error, no.description)
        token, said_s = self._given(tenant, client, app, resource, now_s, life_s, issue)
        return EntraAnswer(
            status=200,
            body={"token_type": "Bearer", "expires_in": said_s, "ext_expires_in": said_s, "access_token": token},
        )

    def identity(
        self,
        directory: Directory,
        query: Mapping[str, str],
        now_s: float,
        life_s: int,
        issue: Issue | None = None,
    ) -> EntraAnswer:
        """Answer the machine's own endpoint: a token of the identity named, or of the machine's own."""
        resource, wanted = query.get("resource", "").rstrip("/"), query.get("client_id", "")
        found = next(
            (
                (tenant, client, app)
                for tenant, spec in directory.tenants.items()
                for client, app in spec.apps.items()
                if app.managed_identity and wanted in ("", client)
            ),
            None,
        )
        if found is None:
            return refusal(400, "invalid_request", "Identity not found")
        if resource not in (directory.audience, GRAPH):
            return refusal(400, "invalid_resource", f"AADSTS500011: The resource {resource} was not found")
        token, said_s = self._given(*found, resource, now_s, life_s, issue)
        body = {
            "access_token": token,
            "client_id": found[1],
            "expires_in": str(said_s),
            "expires_on": str(int(now_s) + said_s),
            "resource": resource,
            "token_type": "Bearer",
        }
        return EntraAnswer(status=200, body=body)

    def _given(
        self, tenant: str, client: str, app: Application, resource: str, now_s: float, life_s: int, issue: Issue | None
    ) -> tuple[str, int]:
        mail = (ROLE,) if app.permission else ()
        return self.issuer.access_token(
            tenant=tenant,
            client=client,
            resource=resource,
            roles=app.graph if resource == GRAPH else mail,
            now_s=now_s,
            life_s=life_s,
            issue=issue,
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
        if app.federated and not app.certificates:
            try:
                self.issuer.check_workload(assertion, app.federated, now_s)
            except TokenRefusedError as no:
                raise _RefusalError(401, "invalid_client", str(no)) from None
            return
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
    if resource == scope or resource not in (directory.audience, GRAPH):
        raise _RefusalError(400, "invalid_scope", f"AADSTS70011: The provided value for scope '{scope}' is not valid")
    if resource == directory.audience and not (app.permission or app.scoped):
        raise _RefusalError(
            400, "invalid_scope", "AADSTS70011: The application has no consented permission for this resource"
        )
    return resource
