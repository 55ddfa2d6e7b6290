"""A project moves to Redis by a setting; Redis dies and comes back empty, and nobody has to do anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject
from support.redis_servers import RedisServer, redis_server
from support.tour import NOW
from support.waiting import until

GET = ("features", "get", "fraud", "--entity", "card_id=c1", "--at", NOW)
PASSWORD = "s3cret"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", "--requirepass", PASSWORD) as running:
        yield running


@pytest.fixture
def moved(serving: FalajProject, server: RedisServer) -> FalajProject:
    """The tour, made with LMDB, told to use Redis."""
    serving.edit("falaj.toml", "[project]", f'[storage]\nonline = "redis"\nonline_url = "{server.url}"\n\n[project]')
    serving.env["FALAJ_STORAGE_ONLINE_PASSWORD"] = PASSWORD
    return serving


def decide(project: FalajProject) -> dict[str, Any]:
    answer = project.ask("c1", 25.0, at=NOW)
    return {name: answer[name] for name in ("prediction", "statuses", "defaulted")}


def test_a_running_project_outlives_its_redis(moved: FalajProject, server: RedisServer) -> None:
    until(lambda: (moved.state / "online" / "data.mdb").exists(), "what LMDB held stays beside")
    moved.up()
    real = until(lambda: (a := decide(moved)) and "PRESENT" in a["statuses"].values() and a, "control fills Redis")
    assert isinstance(real, dict)
    server.kill()
    assert (decide(moved)["defaulted"], set(decide(moved)["statuses"].values())) == (True, {"STORE_FAILED"})
    owner = moved.owner
    moved.falaj("models", "list")  # what needs no features goes on
    token = moved.token("newcomer", "service", "endpoint.predict@fraud")
    assert moved.gateway("GET", "/v2/health/ready", token=owner).status == 200
    server.start()
    until(lambda: decide(moved) == real, "the truth again")
    body = {"entities": {"card_id": "c1"}, "request": {"amount": 25.0}}
    path = "/v1/endpoints/fraud/predict"
    until(lambda: moved.gateway("POST", path, body, token=token).status == 200, "who came meanwhile is let in")
    assert moved.run("features", "verify").code in (0, 7)
    said = "".join(path.read_text(errors="replace") for path in (moved.state / "log").glob("*.log"))
    assert ("cannot be reached" in said, PASSWORD in said) == (True, False)
    moved.down()


def test_commands_without_control_use_redis_too(moved: FalajProject, server: RedisServer) -> None:
    assert "NOT_FOUND" in moved.json(*GET)["statuses"][0]
    assert moved.json("features", "materialise")[0]["applied_seq"] > 0
    found = moved.json(*GET)
    assert "PRESENT" in found["statuses"][0]
    server.kill()
    refused = moved.refused(*GET)
    assert (refused["code"], "cannot be reached" in refused["error"]) == ("storage_failed", True)
    moved.falaj("models", "list")
    server.start()
    moved.falaj("features", "materialise")
    assert moved.json(*GET) == found
    moved.env["FALAJ_STORAGE_ONLINE_PASSWORD"] = "wr0ng"
    refused = moved.refused(*GET)
    assert ("refuses the user or the password" in refused["error"], "wr0ng" in str(refused)) == (True, False)
    moved.env["FALAJ_STORAGE_ONLINE_URL"] = "http://:s3cret@127.0.0.1"
    refused = moved.refused(*GET)
    assert (refused["code"], "s3cret" in str(refused)) == ("project_invalid", False)
    moved.env["FALAJ_STORAGE_ONLINE"] = "rediss"
    assert moved.refused(*GET)["code"] == "project_invalid"
