"""The interface in OpenAPI 3.1, made from the table of routes. Pure."""

import re
from typing import Any, Final

from node import __version__
from node.admin.queries import FILTER_KEYS
from node.admin.routes import HEALTH, ROUTES, Route

WHOLE: Final = frozenset({"since_ms", "until_ms", "limit", "size", "for_s", "below"})
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
        "parameters": _places(route.path),
        "responses": _responses(route),
    }
    if route not in HEALTH:
        found |= {"security": [{"token": []}], "x-role": route.role.name.lower()}
    if route.method == "GET":
        found["parameters"] += [_parameter(name) for name in sorted(route.keys)]
    elif route.keys:
        properties = {name: _type(name) for name in sorted(route.keys)}
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
