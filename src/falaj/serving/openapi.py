"""OpenAPI: the gateway's routes as a document of OpenAPI 3.1, made of the routes and of what they take and give."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from falaj.kernel.version import __version__
from falaj.serving.deadline import MOST_MS
from falaj.serving.routes import ROUTES, RouteSpec
from falaj.serving.statuses import REASONS, ErrorBody

EVERYWHERE = (400, 408, 413, 417, 431, 500, 501, 503, 504, 505)
"""Statuses that any request may get: from the protocol class, from overload, or by a fault."""

GUARDED = (401, 403, 429)
"""Statuses that every path with an action may answer besides."""

WAITS = "endpoint.predict"
"""The action whose requests wait for others, and may wait too long: 504."""

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_OCTETS = "application/octet-stream"
_PARAMETER = re.compile(r"\{(\w+)\}")
_PARAMETERS = {
    "name": "The endpoint or model; with :raw behind it, of its features themselves.",
    "version": "A version that serves.",
}


@functools.cache
def document() -> dict[str, Any]:
    """Return the document of all routes.

    Example:
        >>> document()["openapi"], document()["paths"]["/v2/health/live"]["get"]["security"]
        ('3.1.0', [])
    """
    return describe(ROUTES)


def describe(routes: Sequence[RouteSpec]) -> dict[str, Any]:
    """Return the document of some routes."""
    types = [kind for route in routes for kind in (route.body, route.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components([*types, ErrorBody], ref_template=_REF)
    by_type = dict(zip(map(str, types), schemas, strict=False))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    for component in components.values():
        if "description" in component:
            component["description"] = component["description"].partition("\n")[0]
    bearer = {"type": "http", "scheme": "bearer", "description": "falaj token create"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Falaj gateway",
            "version": __version__,
            "description": "Decisions, features, outcomes, and the Open Inference Protocol V2.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": bearer}},
    }


def _operation(route: RouteSpec, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "security": [{"token": []}] if route.action else [],
        "parameters": _parameters(route),
        "responses": _responses(route, schemas),
    }
    if route.action:
        described["description"] = f"Needs a token that covers {route.action}."
    if route.body is not None:
        content = {_JSON: {"schema": schemas[str(route.body)]}}
        if route.binary:
            content[_OCTETS] = {"schema": {"type": "string", "format": "binary"}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(route: RouteSpec) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": text}
        for name in _PARAMETER.findall(route.path)
    ]
    found += [{"name": n, "in": "query", "required": required, "schema": text} for n, required in route.query]
    if route.action == "endpoint.predict":
        about = "The variant that decides, for a test; needs endpoint.predict_variant."
        found.append({"name": "Falaj-Variant", "in": "header", "required": False, "description": about, "schema": text})
    if route.binary:
        length = {"type": "integer", "minimum": 0}
        about = "Bytes of the JSON part, where binary tensors follow it."
        header = {"name": "Inference-Header-Content-Length", "in": "header", "required": False}
        found.append(header | {"description": about, "schema": length})
    if route.action == WAITS:
        wait = {"type": "integer", "minimum": 1, "maximum": MOST_MS}
        about = "How long the caller waits; what still waits then is answered 504 and not computed."
        header = {"name": "Falaj-Deadline-Ms", "in": "header", "required": False}
        found.append(header | {"description": about, "schema": wait})
    return found


def _responses(route: RouteSpec, schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if route.answer is None:
        content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {_JSON: {"schema": schemas[str(route.answer)]}}
    if route.binary:
        content[_OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    failure = {_JSON: {"schema": {"$ref": _REF.format(name=ErrorBody.__name__)}}}
    statuses = {
        *EVERYWHERE,
        *route.statuses,
        *(GUARDED if route.action else ()),
        *((504,) if route.action == WAITS else ()),
    }
    return {"200": {"description": "OK", "content": content}} | {
        str(status): {"description": REASONS[status].decode(), "content": failure} for status in sorted(statuses)
    }
