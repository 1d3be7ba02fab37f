"""What the simulator serves over HTTP: Entra's endpoints, and the control port with statistics, receipts and script."""

import asyncio
from dataclasses import asdict
from urllib.parse import unquote

import msgspec
import yaml

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.directory import read_directory
from node.rehearsal.simulator.entra import discovery, refusal
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.script import Facts, Issue, Moment, read_steps
from node.rehearsal.web import Answer, Handler, Request

MAX_RECEIPTS_PER_ANSWER = 10_000
_HTTP_ERRORS = {400: "invalid_request", 401: "invalid_client", 403: "access_denied", 429: "temporarily_unavailable"}


def entra_routes(hub: Hub) -> dict[tuple[str, str], Handler]:
    """Give the routes of the token endpoint (facts m365 §3.3)."""
    endpoints = _EntraEndpoints(hub)
    return {
        ("POST", "/{tenant}/oauth2/v2.0/token"): endpoints.token,
        ("GET", "/{tenant}/v2.0/.well-known/openid-configuration"): endpoints.configuration,
        ("GET", "/{tenant}/discovery/v2.0/keys"): endpoints.keys,
        ("GET", "/common/discovery/instance"): endpoints.instance,
    }


def identity_routes(hub: Hub) -> dict[tuple[str, str], Handler]:
    """Give the route of the machine's own endpoint, as a virtual machine in Azure has it."""
    return {("GET", "/metadata/identity/oauth2/token"): _EntraEndpoints(hub).identity}


def control_routes(hub: Hub) -> dict[tuple[str, str], Handler]:
    """Give the routes of the control port."""
    control = _Control(hub)
    return {
        ("GET", "/stats"): control.stats,
        ("GET", "/receipts"): control.receipts,
        ("GET", "/deliveries"): control.deliveries,
        ("GET", "/script"): control.script,
        ("PUT", "/script"): control.set_script,
        ("POST", "/script"): control.add_script,
        ("DELETE", "/script"): control.clear_script,
        ("PUT", "/directory"): control.set_directory,
        ("POST", "/reset"): control.reset,
        ("POST", "/revoke"): control.revoke,
        ("GET", "/workload-token"): control.workload_token,
        ("GET", "/sent/{mailbox}"): control.sent,
    }


class _EntraEndpoints:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def token(self, request: Request) -> Answer:
        hub, tenant = self._hub, request.path["tenant"]
        client = request.form.get("client_id", "")
        scripted, issue = await self._scripted(Moment.TOKEN, client)
        if scripted is not None:
            hub.tokens[f"scripted {scripted.status}"] += 1
            return scripted
        root = f"{request.base_url}/{tenant}"
        audiences = frozenset({f"{root}/oauth2/v2.0/token", f"{root}/v2.0"})
        answer = hub.entra.token(
            hub.directory, tenant, request.form, audiences, hub.now_ms() / 1000, hub.token_life_s(), issue
        )
        if issue is not None:
            hub.tokens[f"issued {issue}"] += 1
        what = str(answer.body.get("error_description", "")).partition(":")[0]
        hub.tokens["issued" if answer.status == 200 else f"denied {what}"] += 1  # noqa: PLR2004 - HTTP OK
        return Answer(status=answer.status, value=answer.body)

    async def identity(self, request: Request) -> Answer:
        hub = self._hub
        if request.headers.get("metadata", "").lower() != "true":
            return Answer(
                status=400, value={"error": "invalid_request", "error_description": "Metadata header missing"}
            )
        scripted, issue = await self._scripted(Moment.IDENTITY, request.query.get("client_id", ""))
        if scripted is not None:
            hub.tokens[f"scripted identity {scripted.status}"] += 1
            return scripted
        answer = hub.entra.identity(hub.directory, request.query, hub.now_ms() / 1000, hub.token_life_s(), issue)
        hub.tokens["issued by identity" if answer.status == 200 else "denied identity"] += 1  # noqa: PLR2004 - HTTP OK
        return Answer(status=answer.status, value=answer.body)

    async def configuration(self, request: Request) -> Answer:
        tenant = request.path["tenant"]
        if tenant not in self._hub.directory.tenants:
            answer = refusal(400, "invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found")
            return Answer(status=answer.status, value=answer.body)
        return Answer(value=discovery(tenant, request.base_url))

    async def keys(self, _request: Request) -> Answer:
        return Answer(value=self._hub.signer.key_set())

    async def instance(self, request: Request) -> Answer:
        tenant = next(iter(self._hub.directory.tenants), "common")
        url = f"{request.base_url}/{tenant}/v2.0/.well-known/openid-configuration"
        host = request.base_url.partition("://")[2]
        names = {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
        return Answer(value={"tenant_discovery_endpoint": url, "api-version": "1.1", "metadata": [names]})

    async def _scripted(self, moment: Moment, client: str) -> tuple[Answer | None, Issue | None]:
        """Give the answer the script wants, or what is to be wrong with the token."""
        hub = self._hub
        facts = Facts(key=client, account=client)
        step = hub.script.next(moment, facts) if hub.script.expects(moment) else None
        if step is None:
            return None, None
        if step.delay:
            await asyncio.sleep(hub.directory.timing.real_s(step.delay))
        if step.cut:
            return Answer(status=503, value={}, cut=True), None
        if step.garbage:
            return Answer(text="<html>not what you expected</html>"), None
        if step.half:
            return Answer(value={"token_type": "Bearer", "access_token": "x" * 1000}, half=True), None
        if step.reply is None:
            return None, step.issue
        answer = refusal(step.status, _HTTP_ERRORS.get(step.status, "server_error"), step.reply[4:])
        headers = {"Retry-After": str(round(step.retry_after))} if step.retry_after is not None else {}
        return Answer(status=step.status, value=answer.body, headers=headers), None


class _Control:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def stats(self, _request: Request) -> Answer:
        return Answer(value=self._hub.stats())

    async def receipts(self, request: Request) -> Answer:
        after, limit = _number(request, "after", 0), _number(request, "limit", 1000)
        found = self._hub.receipts.find(
            after=after, message=request.query.get("id", ""), limit=min(limit, MAX_RECEIPTS_PER_ANSWER)
        )
        return Answer(value=found)

    async def deliveries(self, _request: Request) -> Answer:
        lines = (msgspec.json.encode(one).decode() for one in self._hub.receipts.deliveries())
        return Answer(text="\n".join([*lines, ""]), headers={"Content-Type": "application/x-ndjson"})

    async def script(self, _request: Request) -> Answer:
        return Answer(value=self._hub.script.report())

    async def set_script(self, request: Request) -> Answer:
        self._hub.script.set(read_steps(_plain(request), "script"))
        return Answer(value={"steps": len(self._hub.script.steps)})

    async def add_script(self, request: Request) -> Answer:
        self._hub.script.set((*self._hub.script.steps, *read_steps(_plain(request), "script")))
        return Answer(value={"steps": len(self._hub.script.steps)})

    async def clear_script(self, _request: Request) -> Answer:
        self._hub.script.set(())
        return Answer(value={"steps": 0})

    async def set_directory(self, request: Request) -> Answer:
        self._hub.directory = read_directory(_plain(request), "directory")
        return Answer(value={"tenants": list(self._hub.directory.tenants)})

    async def revoke(self, _request: Request) -> Answer:
        return Answer(value={"revoked": self._hub.entra.issuer.revoke()})

    async def workload_token(self, request: Request) -> Answer:
        subject = request.query.get("subject", "")
        life_s = _number(request, "life_s", 3600)
        return Answer(text=self._hub.entra.issuer.workload_token(subject, self._hub.now_ms() / 1000, life_s))

    async def sent(self, request: Request) -> Answer:
        found = self._hub.graph.outbox.copies.get(unquote(request.path["mailbox"]).lower(), ())
        return Answer(value=[asdict(one) for one in found])

    async def reset(self, _request: Request) -> Answer:
        self._hub.reset()
        return Answer(value={"reset": True})


def _plain(request: Request) -> object:
    try:
        return yaml.safe_load(request.body.decode("utf-8"))  # JSON is YAML
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RehearsalInputError(f"body: neither YAML nor JSON: {error}") from error


def _number(request: Request, name: str, otherwise: int) -> int:
    text = request.query.get(name, "")
    if text and not text.isdigit():
        raise RehearsalInputError(f"{name}: expected a number, not {text!r}")
    return int(text) if text else otherwise
