"""Control on PostgreSQL and Redis, and a gateway with nothing but settings, Redis and a shared folder."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from support.falaj_project import FalajProject
from support.postgres_server import PostgresServer, restartable_postgres
from support.redis_servers import RedisServer, redis_server
from support.tour import NOW, write_tour
from support.traffic import Traffic
from support.trained import officer, train_and_approve
from support.waiting import until

PASSWORD = "s3cret"


class Site:
    """A project of two roles on folders of their own, which share one folder and two servers."""

    def __init__(self, folder: Path, postgres: PostgresServer, redis: RedisServer) -> None:
        self.postgres = postgres
        self.control = FalajProject(folder / "control")
        shared = {
            "FALAJ_STORAGE_SHARED": str(folder / "shared"),
            "FALAJ_STORAGE_ONLINE": "redis",
            "FALAJ_STORAGE_ONLINE_URL": redis.url,
            "FALAJ_STORAGE_ONLINE_PASSWORD": PASSWORD,
        }
        database = {"FALAJ_STORAGE_DATABASE": postgres.url, "FALAJ_STORAGE_DATABASE_PASSWORD": PASSWORD}
        self.control.env |= shared | database
        write_tour(self.control.folder)
        self.gateway = FalajProject(folder / "gateway")
        self.gateway.folder.mkdir()
        self.gateway.gateway_port = self.control.gateway_port
        self.gateway.env |= shared | {"FALAJ_PROJECT_NAME": "tour", "FALAJ_GATEWAY_NAME": "apart"}
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, role: str) -> None:
        self.running[role] = (self.control if role == "control" else self.gateway).start(role)
        if role == "control":
            until(self._control_answers, "control answers", within_s=60)

    def _control_answers(self) -> bool:
        with suppress(OSError):
            return self.control.control("GET", "/healthz", token="").status == 200
        return False

    def end(self, role: str, number: int = signal.SIGTERM) -> str:
        process = self.running.pop(role)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return out + err


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path / "redis", "--requirepass", PASSWORD))
        postgres = stack.enter_context(restartable_postgres(PASSWORD))
        made = Site(tmp_path, postgres, redis)
        stack.callback(made.gateway.end)
        stack.callback(made.control.end)
        stack.callback(lambda: [made.end(role) for role in list(made.running)])
        yield made


def event(name: str, card: str) -> dict[str, Any]:
    times = {"event_time": NOW, "ingested_at": NOW}
    return {"transaction_id": name, "card_id": card, "amount": 9.0, "country": "AE", "is_fraud": None, **times}


def predict(site: Site, token: str | None = None) -> tuple[int, Any]:
    body = {"entities": {"card_id": "c1"}, "request": {"amount": 25.0}} | ({} if token else {"at": NOW})
    reply = site.control.gateway("POST", "/v1/endpoints/fraud/predict", body, token=token)
    return reply.status, reply.json()


def test_the_roles_apart_from_apply_to_a_revoked_token(site: Site) -> None:
    control = site.control
    site.start("control")
    control.edit("fraud.py", "num_trees=40", "num_trees=1")
    control.falaj("apply")
    train_and_approve(control, 1)
    assert control.json("deploy", "fraud")["state"]
    site.start("gateway")
    until(lambda: _status(site) == 200, "the gateway serves", within_s=60)
    pushed = control.control("POST", "/v1/events/transactions?wait=applied", [event("n1", "c1")])
    assert pushed.status == 202, pushed.text
    _, answer = predict(site)
    assert (answer["model_version"], answer["defaulted"]) == (1, False)
    why = control.json("why", answer["request_id"])  # from the segment in the shared folder
    assert why["score"] == answer["prediction"]
    control.falaj("features", "verify", "--sample", "10")  # moves it into the table
    assert control.json("why", answer["request_id"])["score"] == answer["prediction"]
    assert control.json("predict", "fraud", "--entity", "card_id=c1", "--request", "amount=25")["model_version"] == 1

    control.edit("fraud.py", "num_trees=1", "num_trees=40")  # better by more than chance
    control.edit("fraud.py", "fj.p99_ms > 10", "fj.p99_ms > 10_000")  # it may be a busy machine
    control.edit("fraud.py", 'steps=[10, 50, 100], bake="10m"', 'steps=[50, 100], bake="1s", min_requests=20')
    control.falaj("apply")
    train_and_approve(control, 2)
    with Traffic(control) as traffic:  # what it is judged by are the gateway's counts in the shared folder
        control.falaj("deploy", "fraud", "--version", "2")
        control.wait_for_version(2, within_s=90)
    assert traffic.failures == []
    control.falaj("rollback", "fraud", "--reason", "test")
    until(lambda: predict(site)[1]["model_version"] == 1, "version 1 is back", within_s=5)

    token = control.token("shop", "service", "endpoint.predict@fraud")
    until(lambda: predict(site, token)[0] == 200, "the token is known", within_s=5)
    listed = next(one for one in control.json("token", "list") if one["actor"] == "shop")
    control.falaj("token", "revoke", listed["id"])
    until(lambda: predict(site, token)[0] == 401, "the token is known no more", within_s=5)
    assert control.json("audit", "verify")["records"] > 10
    assert officer(control)
    assert not (control.state / "falaj.db").exists()
    said = site.end("gateway") + site.end("control")
    logs = "".join(path.read_text(errors="replace") for path in control.folder.parent.rglob("*.log"))
    assert PASSWORD not in said + logs


def _status(site: Site) -> int:
    with suppress(OSError):
        return predict(site)[0]
    return 0


def test_postgres_goes_away_and_comes_back(site: Site) -> None:
    control = site.control
    site.start("control")
    control.falaj("apply")
    acknowledged = 0
    for number in range(30):
        if number == 10:
            site.postgres.stop()
            refused = control.control("GET", "/v1/runs")
            assert (refused.status, refused.json()["code"]) == (503, "storage_failed")
            assert "storage.database" in refused.json()["hint"]
            assert PASSWORD not in refused.text
            site.postgres.start()
        reply = control.control("POST", "/v1/events/transactions", [event(f"n{number}", "new")])
        assert reply.status == 202, reply.text
        acknowledged += 1
    until(lambda: control.json("source", "list")[0]["streamed"] == acknowledged, "all events in the table", within_s=60)
    train_and_approve(control, 1)
    site.end("control", signal.SIGKILL)
    assert control.json("models", "list")[0]["version"] == 1  # without control, at once: the lock is free
    site.postgres.stop()
    said = control.refused("models", "list")
    assert (said["code"], "does not answer" in said["error"]) == ("storage_failed", True)
    site.postgres.start()
