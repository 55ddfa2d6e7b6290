"""A gateway worker as a process: what it loads, what it keeps when killed, what it loses when restarted."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_load import Load, check_decisions
from support.gateway_process import Project, WorkerProcess, call
from support.serving_world import OWNER, ask, route
from support.telling_model import telling_project, telling_route

FORBIDDEN = {
    "pandas", "polars", "pyarrow", "duckdb", "deltalake", "sqlalchemy", "alembic", "mlflow", "sklearn", "lightgbm",
    "xgboost", "scipy", "litestar", "click", "rich", "falaj.pipelines", "falaj.data", "falaj.lifecycle",
    "falaj.rollout", "falaj.monitoring", "redis", "hiredis",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.close()


@pytest.fixture
def project(trained: Project) -> Project:
    trained.publish(route(trained.variant(1)), trained.bare_route())
    return trained


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield listening


def test_a_worker_answers_and_loads_only_what_serving_may(project: Project, listening: socket.socket) -> None:
    worker = WorkerProcess(project, listening)
    port = worker.port
    status, answer = call(port, "POST", "/v1/endpoints/fraud/predict", ask("c1", 10.0))
    assert (status, answer["model_version"]) == (200, 1)
    assert 0 < answer["prediction"] < 1
    bare = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    assert call(port, "POST", "/v2/models/bare/infer", bare)[0] == 200
    assert call(port, "GET", "/v2/health/ready") == (200, {"live": True, "ready": True})
    metrics = call(port, "GET", "/metrics", token=OWNER)[1]
    assert 'falaj_predictions_total{endpoint="fraud",variant="champion",version="1",role="live"} 1\n' in metrics
    assert "falaj_workers 1\n" in metrics
    loaded = worker.modules()
    assert {name for name in loaded if name in FORBIDDEN} == set()
    assert worker.end() == 0
    assert answer["request_id"] in {record.request_id for record in project.records()}


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Project]:
    project = telling_project(Project(tmp_path))
    yield project
    project.close()


def test_what_was_answered_is_logged_when_the_worker_is_killed(telling: Project, listening: socket.socket) -> None:
    worker = WorkerProcess(telling, listening)
    load = Load(worker.port)

    async def main() -> None:
        running = asyncio.create_task(load.run())
        await load.reach(500)
        worker.process.send_signal(signal.SIGKILL)
        load.stopping = True
        await asyncio.to_thread(worker.process.wait)
        listening.close()
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 20)

    asyncio.run(main())
    assert worker.end() == -signal.SIGKILL
    assert len(load.answered) >= 500
    assert load.failures == []
    check_decisions(load.answered, telling.records())


def test_a_restart_and_a_model_change_under_load_lose_no_request(telling: Project, listening: socket.socket) -> None:
    workers = [WorkerProcess(telling, listening)]
    load = Load(workers[0].port)

    async def main() -> None:
        running = asyncio.create_task(load.run())
        await load.reach(200)
        telling.publish(telling_route(telling, 2))
        await load.reach(10, lambda answer: answer.version == 2)
        assert await asyncio.to_thread(workers[0].end) == 0
        workers.append(WorkerProcess(telling, listening))
        await load.reach(200)
        load.stopping = True
        await asyncio.wait_for(running, 20)

    asyncio.run(main())
    assert load.failures == []
    assert load.versions == {1, 2}
    metrics = call(workers[1].port, "GET", "/metrics", token=OWNER)[1]
    assert workers[1].end() == 0
    records = telling.records()
    check_decisions(load.answered, records)
    answered = sum(record.version == 2 for record in records)
    assert (
        f'falaj_predictions_total{{endpoint="fraud",variant="champion",version="2",role="live"}} {answered}\n'
        in metrics
    )
