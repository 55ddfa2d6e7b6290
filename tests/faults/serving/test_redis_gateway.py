"""A gateway worker whose Redis goes away: declared defaults that say so, and the truth again when it is back."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falaj.features.materialise import apply_batch
from support.gateway_process import Project, WorkerProcess, call
from support.redis_servers import RedisServer, redis_server
from support.serving_world import OWNER, SERVICE, ask, events, route
from support.waiting import until

FORBIDDEN = {"lmdb", "pyarrow", "pandas", "duckdb", "sqlalchemy", "falaj.data", "falaj.lifecycle"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def project(tmp_path: Path, server: RedisServer) -> Iterator[Project]:
    settings = {"storage": {"online": "redis", "online_url": server.url}, "project": {"name": "shop"}}
    made = Project(tmp_path / "project", settings)
    made.publish(route(made.variant(1)))
    yield made
    made.close()


@pytest.fixture
def worker(project: Project) -> Iterator[WorkerProcess]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        running = WorkerProcess(project, listening)
        yield running
        running.end()


def decide(worker: WorkerProcess) -> dict[str, Any]:
    status, answer = call(worker.port, "POST", "/v1/endpoints/fraud/predict", ask("c1", 10.0))
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def test_decisions_go_on_with_defaults_and_then_with_the_truth(
    project: Project, server: RedisServer, worker: WorkerProcess
) -> None:
    real = decide(worker)
    assert (real["defaulted"], "STORE_FAILED" in real["statuses"].values()) == (False, False)
    assert {name for name in worker.modules() if name in FORBIDDEN} == set()
    server.kill()
    for _ in range(20):
        answer = decide(worker)
        assert (answer["defaulted"], set(answer["statuses"].values())) == (True, {"STORE_FAILED"})
    failures = _metric(worker, "falaj_feature_store_failures_total")
    assert failures >= 20
    server.start()  # empty, since it keeps nothing on disk: the defaults stay until control has filled it
    assert decide(worker)["defaulted"]
    apply_batch(project.store, SERVICE.views, events(("c1", 30, 8.0, "OM"), ("c1", 2, 4.0, "AE")), 2)
    again = until(lambda: (a := decide(worker)) and not a["defaulted"] and a, "the truth again")
    assert isinstance(again, dict)
    assert (again["prediction"], again["statuses"]) == (real["prediction"], real["statuses"])


def test_a_redis_that_hangs_holds_up_no_second_request(server: RedisServer, worker: WorkerProcess) -> None:
    assert not decide(worker)["defaulted"]
    with server.frozen():
        assert [decide(worker)["defaulted"] for _ in range(20)] == [True] * 20
    until(lambda: not decide(worker)["defaulted"], "the truth again")


def test_under_load_a_redis_that_is_paused_and_resumed_costs_features_and_no_answer(
    tmp_path: Path, server: RedisServer
) -> None:
    # Two seconds a read: were every turn of the loop held up by one, the answers below would take minutes.
    storage = {"online": "redis", "online_url": server.url, "online_timeout_ms": 2000}
    project = Project(tmp_path / "slow", {"storage": storage, "project": {"name": "slow"}})
    try:
        project.publish(route(project.variant(1)))
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            worker = WorkerProcess(project, listening)
            assert not decide(worker)["defaulted"]
            answered = _pause_under_load(worker, server)
            assert worker.end() == 0
        logged = {record.request_id: record for record in project.records()}
        assert len(logged) == len(answered) + 1
        for answer in answered:
            assert logged[answer["request_id"]].defaulted == answer["defaulted"]
            assert ("STORE_FAILED" in answer["statuses"].values()) == answer["defaulted"]
        assert {answer["defaulted"] for answer in answered} == {False, True}
    finally:
        project.close()


def _pause_under_load(worker: WorkerProcess, server: RedisServer) -> list[dict[str, Any]]:
    answered: list[dict[str, Any]] = []
    stop = threading.Event()

    def caller() -> None:
        while not stop.is_set():
            answered.append(decide(worker))

    def reach(*, defaulted: bool, answers: int) -> None:
        seen = len(answered)
        until(
            lambda: sum(answer["defaulted"] is defaulted for answer in answered[seen:]) >= answers,
            f"{answers} answers with defaulted {defaulted}",
        )

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(caller) for _ in range(4)]
        try:
            for _ in range(2):
                reach(defaulted=False, answers=100)
                with server.frozen():
                    reach(defaulted=True, answers=500)
            reach(defaulted=False, answers=100)
        finally:
            stop.set()
        for each in callers:
            each.result()
    return answered


def _metric(worker: WorkerProcess, name: str) -> float:
    text = call(worker.port, "GET", "/metrics", token=OWNER)[1]
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
