"""What the simulator serves over HTTP: Entra's endpoints, and the control port with statistics, receipts and script."""

import asyncio

import msgspec
import yaml

from node.rehearsal.errors import RehearsalInputError
from node.rehearsal.simulator.directory import read_directory
from node.rehearsal.simulator.entra import discovery, refusal
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.script import Facts, Moment, read_steps
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
    }


class _EntraEndpoints:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def token(self, request: Request) -> Answer:
        hub, tenant = self._hub, request.path["tenant"]
        scripted = await self._scripted(request)
        if scripted is not None:
            hub.tokens[f"scripted {scripted.status}"] += 1
            return scripted
        root = f"{request.base_url}/{tenant}"
        audiences = frozenset({f"{root}/oauth2/v2.0/token", f"{root}/v2.0"})
        answer = hub.entra.token(
            hub.directory, tenant, request.form, audiences, hub.now_ms() / 1000, hub.token_life_s()
        )
        what = str(answer.body.get("error_description", "")).partition(":")[0]
        hub.tokens["issued" if answer.status == 200 else f"denied {what}"] += 1  # noqa: PLR2004 - HTTP OK
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

    async def _scripted(self, request: Request) -> Answer | None:
        hub = self._hub
        if not hub.script.expects(Moment.TOKEN):
            return None
        client = request.form.get("client_id", "")
        step = hub.script.next(Moment.TOKEN, Facts(key=client, account=client))
        if step is None:
            return None
        if step.delay:
            await asyncio.sleep(hub.directory.timing.real_s(step.delay))
        if step.cut:
            return Answer(status=503, value={}, cut=True)
        if step.garbage:
            return Answer(text="<html>not what you expected</html>")
        if step.reply is None:
            return None
        status = int(step.reply[:3])
        answer = refusal(status, _HTTP_ERRORS.get(status, "server_error"), step.reply[4:])
        return Answer(status=status, value=answer.body)


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
