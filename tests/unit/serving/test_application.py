"""Every path needs a token, says which methods it takes, and answers errors in one form."""

import re
from pathlib import Path

import pytest

from falaj.serving.guard import PUBLIC_PATHS
from support.serving_world import World, ask

ROOT = Path(__file__).parents[3]

PATHS = [
    ("POST", "/v1/endpoints/fraud/predict"), ("POST", "/v1/feedback"), ("GET", "/v1/features/online"),
    ("GET", "/metrics"), ("GET", "/v2"), ("GET", "/v2/"), ("POST", "/v2/repository/index"), ("GET", "/v2/models/fraud"),
    ("GET", "/v2/models/fraud/ready"), ("POST", "/v2/models/fraud/infer"), ("GET", "/v2/models/fraud/versions/1"),
    ("POST", "/v2/models/fraud/versions/1/infer"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_nothing_is_answered_without_a_token(method: str, path: str) -> None:
    world = World()
    for token, expected in ((None, 401), ("flj_guess", 401), ("flj_old", 401), ("flj_narrow", 403)):
        status, answer = world.call(method, path, ask(), token)
        assert status == expected
        assert set(answer) <= {"error", "code", "hint"}
    assert world.sink.records == []


def test_every_route_that_the_router_has_is_closed_but_the_public_two() -> None:
    world = World()
    answered = set()
    for patterns in world.app._router._patterns.values():
        for segments, found in patterns:
            path = "/".join("1" if segment is None else segment.decode() for segment in segments)
            assert bool(found.action) == (path.encode() not in PUBLIC_PATHS)
            for method in found.handlers:
                for token, refused in (
                    (None, 401), ("flj_guess", 401), ("", 401), ("flj_old", 401), ("flj_narrow", 403)
                ):  # fmt: skip
                    status, _ = world.call(method.decode(), path, ask(), token)
                    assert status == refused if found.action else status in (200, 503), f"{method!r} {path} {token}"
                answered.add(path)
    assert len(answered) >= len(PUBLIC_PATHS) + 10
    assert set(PUBLIC_PATHS) <= {path.encode() for path in answered}


def test_every_route_stands_in_the_page_about_them_with_its_action() -> None:
    page = (ROOT / "docs" / "how-to" / "ask-over-http.md").read_text()
    told = {
        (method, path): action
        for method, paths, action in re.findall(r"^\| (GET|POST) \| (.*?) \| (.*?) \|", page, re.MULTILINE)
        for path in re.findall(r"`(.*?)`", paths)
    }
    for patterns in World().app._router._patterns.values():
        for segments, found in patterns:
            for method in found.handlers:
                names = iter(("{name}", "{version}"))
                path = "/".join(next(names) if segment is None else segment.decode() for segment in segments)
                action = told.pop((method.decode(), path))
                assert (f"`{found.action}`" in action) if found.action else action == "none", path
    assert told == {}


def test_unknown_paths_and_methods_are_told_apart() -> None:
    world = World()
    assert world.call("GET", "/v3")[0] == 404
    assert world.call("GET", "/v2/models//infer")[0] == 404
    status, answer = world.call("DELETE", "/v2/models/fraud")
    assert (status, answer["code"]) == (405, "method_not_allowed")
    assert world.call("OPTIONS", "/v1/feedback", token=None) == (200, b"")
    assert world.call("OPTIONS", "*", token=None) == (200, b"")


def test_metrics_need_the_right_to_read_them() -> None:
    assert World().call("GET", "/metrics")[0] == 403
