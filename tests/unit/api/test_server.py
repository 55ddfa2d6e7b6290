"""The control API: closed without a token, and one clear sentence for whatever is sent."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.routes import ASGIRoute, HTTPRoute

from falaj.api.server import PUBLIC_ROUTES
from falaj.app.operation import OPERATIONS
from falaj.governance.access import SYSTEM
from falaj.kernel.sentence import MOST_CHARACTERS
from support.control_app import App, asked, bearer
from support.rooms_world import World
from support.storage_faults import room_for

VALUES = {
    "model": "fraud", "version": "1", "document": "card", "run_id": "run_1", "request_id": "req_1",
    "name": "project.status", "source": "tx", "path": "openapi.json", "incident": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, World, str]]:
    with asked(tmp_path_factory.mktemp("control")) as everything:
        yield everything


@pytest.fixture(scope="module")
def control(running: tuple[App, World, str]) -> tuple[App, str]:
    return running[0], running[2]


def routes(client: App) -> list[tuple[str, str]]:
    """Every method and path that the application has, as its own table lists them."""
    found = []
    for route in client.app.routes:
        if isinstance(route, ASGIRoute):  # a mount; the routes below it have tests of their own
            found += [(method, f"{route.path}/") for method in ("GET", "POST", "DELETE")]
            continue
        assert isinstance(route, HTTPRoute), route.path
        methods = set(route.methods) - {"OPTIONS"}  # which tells the methods, and nothing of the project
        found += [(method, route.path_format) for method in methods]
    return sorted(found)


def test_every_route_is_closed_without_a_token_but_the_public_ones(control: tuple[App, str]) -> None:
    client, token = control
    seen = routes(client)
    assert len(seen) > 15
    assert {path for _, path in seen} >= set(PUBLIC_ROUTES)
    for method, path in seen:
        place = path.format(**VALUES)
        if path in PUBLIC_ROUTES:
            continue
        # A body that is no JSON, too: whoever may not ask learns nothing about what is wrong with what they sent.
        for body in (b"{}", b"{", b""):
            for headers in ({}, bearer("flj_wrong"), bearer(token[:-1]), {"authorization": token}, {"cookie": "x=y"}):
                reply = client.request(method, place, content=body if method == "POST" else None, headers=headers)
                assert reply.status_code == 401, f"{method} {place} {headers}: {reply.status_code} {reply.text}"
                assert reply.json()["code"] == "unauthenticated"
                assert reply.headers["www-authenticate"] == "Bearer"


def test_every_route_is_closed_to_an_expired_token_and_to_one_of_another_scope(
    running: tuple[App, World, str],
) -> None:
    client, world, _ = running
    actors = world.rooms.actors
    expired = actors.create_token("owner", expires=world.clock.now() + timedelta(seconds=1), by=SYSTEM)
    narrow = actors.create_token("owner", ("endpoint.predict@other",), by=SYSTEM)
    assert client.get("/v1/status", headers=bearer(expired)).status_code == 200
    world.clock.advance(1)
    closed = [(method, path.format(**VALUES), b"{}") for method, path in routes(client) if path not in PUBLIC_ROUTES]
    assert len(closed) > 10
    for name, operation in OPERATIONS.items():
        kind = operation.function().__annotations__["params"]
        closed.append(("POST", f"/v1/operations/{name}", json.dumps(parameters(kind)).encode()))
    for method, place, body in closed:
        for token, status, code in ((expired, 401, "unauthenticated"), (narrow, 403, "access_denied")):
            reply = client.request(method, place, content=body if method == "POST" else None, headers=bearer(token))
            assert (reply.status_code, reply.json()["code"]) == (status, code), f"{method} {place}: {reply.text}"


def test_what_is_public_says_nothing_about_the_project(control: tuple[App, str]) -> None:
    client, _ = control
    for method, path in routes(client):
        if path in PUBLIC_ROUTES:
            text = client.request(method, path.format(**VALUES), content=b"{}" if method == "POST" else None).text
            assert "activity" not in text
            assert "fraud" not in text


def test_the_description_is_json_and_no_page_of_strangers_scripts(control: tuple[App, str]) -> None:
    client, token = control
    assert "/v1/status" in client.get("/schema/openapi.json").json()["paths"]
    assert client.get("/schema").headers["content-type"].startswith("application/")
    for name in ("swagger", "redoc", "elements", "rapidoc", "scalar", "openapi.yaml", "oauth2-redirect.html"):
        reply = client.get(f"/schema/{name}", headers=bearer(token))
        assert reply.status_code == 404
        assert "<script" not in reply.text


DEEP = 100_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut": b"{",
    "nul": b"\0",
    "no_utf8": b'{"model": "\xff"}',
    "half_surrogate": b'{"model": "\\ud800"}',
    "null": b"null",
    "text": b'"x"',
    "nan": b'{"model": NaN}',
    "infinity": b'{"version": Infinity}',
    "too_large_a_number": b'{"version": 1e999}',
    "deep_list": b"[" * DEEP,
    "deep_object": b'{"a":' * DEEP,
    "deep_and_whole": b'{"events": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "twice_the_same_key": b'{"model": "a", "model": 5}',
}
TEXTS = ["", "\0", "../../etc/passwd", "/etc/passwd", "a\nb", "%00", "\u202e", "😀", "x" * 100_000, "'; --", "<b>"]
NUMBERS = [-1, 0, 2**31, 2**63 - 1, 2**63, 2**70, -(2**63) - 1, 1.5, 1e308, True, None]
SHAPES: list[Any] = [[], {}, [None], [[]], [{}], [{"card_id": None}], [{"card_id": "\0"}], [{"card_id": 2**70}]]
ENDS = {"endpoint.undeploy", "endpoint.rollback"}
"""Operations that carry out what they are told when all of it is right; here they are only told wrong things."""


def parameters(kind: type) -> dict[str, Any]:
    """Parameters that are right as far as they go."""
    right = {"model": "fraud", "version": 1, "endpoint": "fraud", "service": "fraud_features", "source": "tx",
             "run_id": "run_1", "request_id": "req_1", "digest": "d", "actor": "owner", "token_id": "tok_1",
             "entities": [{"card_id": "c1"}], "events": [], "definitions": {}, "instances": []}  # fmt: skip
    return {field.name: right[field.name] for field in msgspec.structs.fields(kind) if field.name in right}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_answers_whatever_it_is_sent_by_a_result_or_one_sentence(
    control: tuple[App, str], name: str
) -> None:
    client, token = control
    kind = OPERATIONS[name].function().__annotations__["params"]
    fields = [field.name for field in msgspec.structs.fields(kind)]
    sent = list(BODIES.values()) if name not in ENDS else []
    for field in fields:
        if name not in ENDS or field == "endpoint":
            sent += [json.dumps({**parameters(kind), field: v}).encode() for v in (*TEXTS, *NUMBERS, *SHAPES)]
    for body in sent:
        reply = client.post(f"/v1/operations/{name}", content=body, headers=bearer(token))
        assert_answered(reply, body[:200])


def assert_answered(reply: Any, about: object) -> None:
    """It worked, or it was refused by one clear sentence that is no fault of ours."""
    assert reply.status_code < 500 or reply.json()["code"] in ("unsupported", "unavailable"), f"{about!r}: {reply.text}"
    if reply.status_code >= 400:
        found = reply.json()
        assert found["code"] not in ("", "internal"), about
        assert 0 < len(found["error"]) <= MOST_CHARACTERS
        assert found["error"].isprintable() or "\u202f" in found["error"], found["error"]
        assert "Traceback" not in reply.text


@pytest.mark.parametrize("value", ["0", "-1", "99999999999999999999", "1.5", "%00", "..%2f..", "a%0d%0ab", "x" * 5000])
def test_a_path_or_a_query_that_makes_no_sense_is_refused(control: tuple[App, str], value: str) -> None:
    client, token = control
    for path in (
        "/v1/models/{}/versions/1", "/v1/models/fraud/versions/{}", "/v1/runs/{}", "/v1/decisions/{}", "/v1/{}", "/{}",
        "/models/{}/versions/1/card", "/models/fraud/versions/{}/card", "/models/fraud/versions/1/{}",
        "/v1/models?model={}",
    ):  # fmt: skip
        reply = client.get(path.format(value), headers=bearer(token))
        assert reply.status_code in (400, 404), f"{path}: {reply.text}"
        assert_answered(reply, path)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_the_content_type_does_not_matter_json_is_what_is_read(control: tuple[App, str], kind: str) -> None:
    client, token = control
    headers = {**bearer(token), "content-type": kind}
    assert client.post("/v1/operations/project.status", content=b"{}", headers=headers).status_code == 200
    refused = client.post("/v1/operations/project.status", content=b"a=b", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "input_invalid")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "GET"])
def test_another_method_is_named(control: tuple[App, str], method: str) -> None:
    client, token = control
    reply = client.request(method, "/v1/events/tx", headers=bearer(token))
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert method in reply.json()["error"]


def test_events_that_are_no_json_are_quarantined_by_their_place(control: tuple[App, str]) -> None:
    client, token = control
    for body, place, named in (
        (b'{"id": "a"}\n{', 1, "is not JSON"),
        (b"[1]", 0, "not an object"),
        (b'"hello"', 0, "not an object"),
        (b"\xff\xfe", 0, "is not JSON"),
        (b'\n{"a":' + b"[" * DEEP, 0, "is nested too deeply"),
    ):
        reply = client.post("/v1/events/tx", content=body, headers=bearer(token))
        assert (reply.status_code, reply.json()["accepted"]) == (202, 0), reply.text
        reasons = dict(reply.json()["rejected"])
        assert named in reasons[place][0]
    spread = b'{\n "id": "spread", "card_id": "c1", "at": "2026-01-05T00:00:00Z",\n "amount": 1.0}'
    assert client.post("/v1/events/tx", content=spread, headers=bearer(token)).json()["accepted"] == 1


def test_a_body_without_events_is_refused(control: tuple[App, str]) -> None:
    client, token = control
    for body, named in (
        (b"[" * DEEP, "events is nested too deeply"),
        (b" \n \n", "no events"),
    ):
        reply = client.post("/v1/events/tx", content=body, headers=bearer(token))
        assert (reply.status_code, reply.json()["code"]) == (400, "input_invalid")
        assert named in reply.json()["error"]


def test_a_body_above_the_limit_is_refused(control: tuple[App, str]) -> None:
    client, token = control
    reply = client.post("/v1/events/tx", content=b"x" * (16 * 1024 * 1024 + 1), headers=bearer(token))
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")


def test_a_full_disk_is_told_as_that_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    with asked(tmp_path) as (client, _, token):
        event = {"card_id": "c1", "at": "2026-01-05T00:00:00Z", "known": "2026-01-05T00:00:00Z", "amount": 1.0}
        lines = "\n".join(json.dumps({**event, "id": f"{number}" * 50}) for number in range(1000))
        with room_for(50_000):
            full = client.post("/v1/events/tx", content=lines, headers=bearer(token))
        assert (full.status_code, full.json()["code"]) == (503, "disk_full"), full.text
        assert "nothing acknowledged was lost" in full.json()["hint"]
        after = client.post("/v1/events/tx", content=json.dumps({**event, "id": "a"}), headers=bearer(token))
        assert (after.status_code, after.json()["last_seq"]) == (202, 1), after.text
