"""The interface in OpenAPI 3.1, made from the table of routes. Pure."""

import re
from typing import Any, Final

from node import __version__
from node.admin.cluster import WISH_KEYS
from node.admin.handlers import ACCOUNT_KEYS, ERASE_KEYS, HERE, LIMIT, QUEUE_KEYS, WHY_KEYS, Handlers
from node.admin.queries import FILTER_KEYS, ROUTE_KEYS
from node.admin.routes import HEALTH, ROUTES, Handler, Route

QUERIES: Final[dict[Handler, frozenset[str]]] = {
    Handlers.find: FILTER_KEYS,
    Handlers.find_everywhere: FILTER_KEYS | HERE,
    Handlers.trace_everywhere: HERE,
    Handlers.route: ROUTE_KEYS,
    Handlers.reports: LIMIT,
}
BODIES: Final[dict[Handler, frozenset[str]]] = {
    Handlers.act: QUEUE_KEYS,
    Handlers.act_everywhere: QUEUE_KEYS,
    Handlers.account_act: ACCOUNT_KEYS,
    Handlers.wish: WISH_KEYS,
    Handlers.finalise: WHY_KEYS,
    Handlers.erase: ERASE_KEYS,
    Handlers.unsuppress: ERASE_KEYS,
    Handlers.release_spool: WHY_KEYS,
}
WHOLE: Final = frozenset({"since_ms", "until_ms", "limit", "size", "for_s"})
TRUTHS: Final = frozenset({"all", "here", "on"})
ERROR_REF: Final = {"$ref": "#/components/schemas/Error"}
ERROR: Final = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def description() -> dict[str, Any]:
    """Describe what the TCP port answers."""
    paths: dict[str, Any] = {}
    for route in (*HEALTH, *(one for one in ROUTES if one.remote)):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "m365-relay administration", "version": __version__},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": ERROR},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": route.about,
        "operationId": getattr(route.handler, "__name__", route.path),
        "parameters": [*_places(route.path), *(_parameter(name) for name in sorted(QUERIES.get(route.handler, ())))],
        "responses": _responses(route),
    }
    if route not in HEALTH:
        found |= {"security": [{"token": []}], "x-role": route.role.name.lower()}
    if route.handler in BODIES:
        properties = {name: _type(name) for name in sorted(BODIES[route.handler])}
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _places(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{([a-z]+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": _type(name)}


def _type(name: str) -> dict[str, Any]:
    if name == "filter":
        return {"type": "object", "properties": {key: {} for key in sorted(FILTER_KEYS)}, "additionalProperties": False}
    return {"type": "integer"} if name in WHOLE else {"type": "boolean"} if name in TRUTHS else {"type": "string"}


def _responses(route: Route) -> dict[str, Any]:
    kind = "text/plain" if route.path == "/metrics" else "application/json"
    fault = {
        "description": "what is wrong",
        "content": {"application/json": {"schema": ERROR_REF}},
    }
    done = {"description": "done", "content": {kind: {"schema": {}}}}
    if route in HEALTH:
        return {"200": done, "503": {"description": "not ready", "content": {kind: {"schema": {}}}}}
    return {"200": done} | {str(status): fault for status in (400, 401, 403, 404, 409, 413, 429, 502, 503)}
