"""The OpenAPI document: every route of the router, with every status that the code can answer."""

import ast
import importlib
from pathlib import Path

import msgspec

import falaj.serving
from falaj.kernel import errors
from falaj.serving.openapi import EVERYWHERE, document
from falaj.serving.statuses import status_of
from support.serving_world import OWNER, World

SERVING = Path(falaj.serving.__path__[0])


def operations() -> dict[tuple[str, str], set[int]]:
    return {
        (method.upper(), path): {int(status) for status in operation["responses"]}
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_of_the_router_is_in_it() -> None:
    routed = set()
    for patterns in World().app._router._patterns.values():
        for segments, route in patterns:
            names = iter(("{name}", "{version}"))
            path = "/".join(next(names) if segment is None else segment.decode() for segment in segments)
            routed |= {(method.decode(), path) for method in route.handlers}
            security: list[dict[str, list[str]]] = [{"token": []}] if route.action else []
            assert all(document()["paths"][path][m.decode().lower()]["security"] == security for m in route.handlers)
    assert routed == set(operations())


def refusals() -> set[int]:
    """The statuses that the protocol class answers by itself, read from its code."""
    found = set()
    for path in (SERVING / "http").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            status = node.args[0].value
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("_refuse", "Refusal", "fail") and isinstance(status, int):
                found.add(status)
    return found


def test_what_the_protocol_class_refuses_is_documented_everywhere() -> None:
    assert {400, 408, 413, 417, 431, 500, 501, 505} <= refusals()
    assert all(refusals() <= statuses for statuses in operations().values())


def raised() -> set[int]:
    """The statuses of the errors that the room's code and what it calls for a request make, read from the code."""
    found = set()
    outside = ["falaj.kernel.clock", "falaj.features.online", "falaj.governance.access", "falaj.governance.tokens"]
    paths = [Path(str(importlib.import_module(name).__file__)) for name in outside]
    for path in (*SERVING.glob("*.py"), *paths):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, errors.FalajError):
                found.add(status_of(kind.code))
    return found


def test_every_status_of_an_error_is_documented() -> None:
    assert {400, 401, 403, 404, 500, 501, 503} <= raised()
    assert raised() <= set.union(*operations().values())
    for (_, path), statuses in operations().items():
        assert set(EVERYWHERE) <= statuses
        assert (404 in statuses) >= ("{" in path)


def test_its_types_are_those_of_the_code() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("RestRequest", "RestAnswer", "NativeAnswer", "Instance", "ModelMetadata", "ErrorBody"):
        assert schemas[name]["type"] == "object"
    assert set(schemas["ErrorBody"]["required"]) == {"error", "code"}
    assert all("\n" not in schema.get("description", "") for schema in schemas.values())


def test_the_gateway_gives_it_to_who_may_read() -> None:
    world = World()
    status, answer = world.call("GET", "/v1/openapi.json", token=OWNER)
    assert (status, answer) == (200, msgspec.json.decode(msgspec.json.encode(document())))
    assert world.call("GET", "/v1/openapi.json", token=None)[0] == 401
