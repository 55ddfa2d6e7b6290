"""A gateway worker whose Redis goes away: declared defaults that say so, and the truth again when it is back."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from falaj.features.materialise import apply_batch
from support.gateway_load import Answer, Load, check_decisions
from support.gateway_process import Project, WorkerProcess, call
from support.redis_servers import RedisServer, redis_server
from support.serving_world import OWNER, SERVICE, ask, events, route
from support.slow_proxy import SlowProxy
from support.telling_model import fill_cards, telling_project
from support.waiting import until

Steps = Callable[[Load], Awaitable[None]]

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


@contextmanager
def steady(folder: Path, port: int, timeout_ms: int) -> Iterator[tuple[Project, Callable[[Steps], list[Answer]]]]:
    """A project on a Redis, and what runs steps under load on a worker of it and holds the answers against the log."""
    url = f"redis://127.0.0.1:{port}/0"
    storage = {"online": "redis", "online_url": url, "online_timeout_ms": timeout_ms}
    project = telling_project(Project(folder, {"storage": storage, "project": {"name": "steady"}}))

    def run(steps: Steps) -> list[Answer]:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
            worker = WorkerProcess(project, listening)
            load = Load(worker.port)
            asyncio.run(_during(load, steps))
            assert _metric(worker, "falaj_faults_total") == 0
            assert worker.end() == 0
        assert load.failures == []
        records = project.records()
        check_decisions(load.answered, records)
        assert len(records) == len(load.answered)
        for record in records:
            assert ("STORE_FAILED" in record.statuses.values()) == record.defaulted
        return load.answered

    try:
        yield project, run
    finally:
        project.close()


async def _during(load: Load, steps: Steps) -> None:
    running = asyncio.create_task(load.run())
    await load.reach(100, read)
    await steps(load)
    await load.reach(100, read)
    load.stopping = True
    await asyncio.wait_for(running, 20)


def read(answer: Answer) -> bool:
    return not answer.defaulted


def not_read(answer: Answer) -> bool:
    return answer.defaulted


def test_under_load_a_redis_that_is_paused_and_resumed_costs_features_and_no_answer(
    tmp_path: Path, server: RedisServer
) -> None:
    async def steps(load: Load) -> None:
        for _ in range(2):
            await load.reach(100, read)
            with server.frozen():
                await load.reach(500, not_read)

    # Two seconds a read: were every turn of the loop held up by one, the answers would take minutes.
    with steady(tmp_path / "project", server.port, timeout_ms=2000) as (_, run):
        run(steps)


def test_under_load_a_redis_that_is_killed_and_comes_back_empty_mixes_up_no_row(
    tmp_path: Path, server: RedisServer
) -> None:
    with steady(tmp_path / "project", server.port, timeout_ms=500) as (project, run):

        async def steps(load: Load) -> None:
            for _ in range(2):
                server.kill()
                await load.reach(300, not_read)
                await asyncio.to_thread(server.start)
                await load.reach(100, not_read)  # there is nothing in it yet
                fill_cards(project)
                await load.reach(300, read)

        run(steps)


def test_under_load_a_redis_that_is_slow_costs_features_and_no_row_is_mixed_up(
    tmp_path: Path, server: RedisServer
) -> None:
    with (
        SlowProxy(server.port) as proxy,
        steady(tmp_path / "project", proxy.port, timeout_ms=400) as (_, run),
    ):

        async def steps(load: Load) -> None:
            proxy.delay_s = 0.02  # slow, and within what the gateway waits
            await load.reach(200, read)
            proxy.delay_s = 0.6  # the answers come when nobody waits for them any more
            await load.reach(500, not_read)
            proxy.delay_s = 0.0
            await load.reach(100, read)
            proxy.delay_s, proxy.in_pieces = 0.2, True  # never a pause as long as the timeout
            await load.reach(300, not_read)
            proxy.delay_s, proxy.in_pieces = 0.0, False
            await load.reach(100, read)
            proxy.cut = True  # in the midst of an answer
            await load.reach(300, not_read)
            proxy.cut = False

        run(steps)


def _metric(worker: WorkerProcess, name: str) -> float:
    text = call(worker.port, "GET", "/metrics", token=OWNER)[1]
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
