"""Whatever a Python model does to itself, its neighbours in the same worker and its other callers do not notice."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, Variant
from support.gateway_load import asked_by
from support.gateway_process import Project, WorkerProcess, call
from support.python_models import EAT, EXIT, HANG, NAN, RAISE, SHORT, SLOW, Callers, package, settings, started
from support.serving_world import BARE, OWNER, TOKEN, route
from support.telling_model import fill_cards, score_of, telling_route
from support.waiting import until

Begin = Callable[..., WorkerProcess]
STATUS = {RAISE: 500, NAN: 500, SHORT: 500, EAT: 500, EXIT: 500, HANG: 504}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    fill_cards(made)
    made.publish(telling_route(made), python_route(made))
    yield made
    made.close()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield listening


@pytest.fixture
def begin(project: Project, listening: socket.socket) -> Iterator[Begin]:
    """Begins workers, which end with the test."""
    begun: list[WorkerProcess] = []

    def make(**limits: Any) -> WorkerProcess:
        chosen = msgspec.to_builtins(settings(**({"timeout_ms": 1500, "wait_ms": 30_000} | limits)))
        worker = WorkerProcess(project, listening, python=chosen, python_folder=str(project.root / "python"))
        begun.append(worker)
        return worker

    yield make
    for worker in begun:
        worker.end(signal.SIGKILL)


def python_route(project: Project, version: int = 1, factor: float = 1.0) -> EndpointRoute:
    artifact = ArtifactRef(project.blobs.put(package(factor).encode()), "python")
    return route(Variant("champion", "odd", version, 10_000, "live", artifact, BARE), endpoint="odd", epoch=version)


def log_of(project: Project, version: int = 1) -> Path:
    return project.root / "python" / f"odd-{version}.log"


def odd(first: float) -> dict[str, Any]:
    return {"request": {"x": first, "y": 2.0}}


def plain_callers(worker: WorkerProcess) -> Callers:
    """Callers of the model beside it."""

    def body(number: int) -> dict[str, Any]:
        card, amount = asked_by(number)
        return {"entities": {"card_id": f"t{card}"}, "request": {"amount": amount}}

    return Callers(worker.port, "fraud", body, lambda number, version: score_of(*asked_by(number), version))


def python_callers(worker: WorkerProcess, first: float = 1.0, callers: int = 8) -> Callers:
    """Callers whose answers are all different; those of version 2 are ten times as much."""

    def body(number: int) -> dict[str, Any]:
        return {"request": {"x": first, "y": float(number)}}

    return Callers(worker.port, "odd", body, lambda number, version: (first + number) * (1, 10)[version - 1], callers)


@contextlib.asynccontextmanager
async def load(*callers: Callers) -> AsyncIterator[None]:
    running = [asyncio.create_task(one.run()) for one in callers]
    try:
        yield
    finally:
        for one in callers:
            one.stopping = True
        await asyncio.gather(*running)


def answered_once(project: Project, *callers: Callers) -> None:
    """Every answer is in the log once, with what was asked and what was answered; and nothing is there twice."""
    found = project.records()
    records = {record.request_id: record for record in found}
    assert len(records) == len(found)
    for one in callers:
        assert one.answers
        for answer in one.answers:
            record = records[answer["request_id"]]
            assert (record.client_id, record.score) == (answer["id"], answer["prediction"])
            assert {"entities": record.entities, "request": record.request} == {
                "entities": {}, **one.asked(answer["id"])
            }  # fmt: skip


def test_a_model_killed_under_load_again_and_again_loses_nothing(project: Project, begin: Begin) -> None:
    worker = begin()
    plain, python = plain_callers(worker), python_callers(worker)

    async def main() -> None:
        async with load(plain, python):
            await asyncio.gather(plain.reach(200), python.reach(200))
            for kill in range(3):
                pids = started(log_of(project))
                assert len(pids) == kill + 1
                os.killpg(pids[-1], signal.SIGKILL)
                await python.reach(200)
            await plain.reach(200)

    asyncio.run(main())
    assert plain.failures == [] and python.failures == []
    assert len({answer["prediction"] for answer in python.answers}) == len(python.answers)
    metrics = call(worker.port, "GET", "/metrics", token=OWNER)[1]
    assert "falaj_python_ends_total 3\n" in metrics and "falaj_faults_total 0\n" in metrics
    assert worker.end() == 0
    answered_once(project, plain, python)
    assert not list((project.root / "python").glob("work-*"))


@pytest.mark.parametrize("what", sorted(STATUS))
def test_whatever_one_request_does_to_it_the_others_are_answered(project: Project, begin: Begin, what: float) -> None:
    worker = begin()
    plain, python = plain_callers(worker), python_callers(worker)
    bad: list[tuple[int, Any]] = []

    async def main() -> None:
        async with load(plain, python):
            await asyncio.gather(plain.reach(100), python.reach(100))
            for _ in range(2):
                asked = asyncio.to_thread(call, worker.port, "POST", "/v1/endpoints/odd/predict", odd(what))
                others = len(plain.answers)
                bad.append(await asked)
                assert what != HANG or len(plain.answers) > others  # they did not wait for it
            await asyncio.gather(plain.reach(100), python.reach(100))

    asyncio.run(main())
    assert [status for status, _ in bad] == [STATUS[what]] * 2
    assert all("version 1 of model 'odd'" in answer["error"] for _, answer in bad)
    assert plain.failures == [] and python.failures == []
    assert len({answer["prediction"] for answer in python.answers}) == len(python.answers)
    assert worker.end() == 0
    answered_once(project, plain, python)
    errors = [record.error for record in project.records() if record.error]
    assert errors == (["timeout"] * 2 if what == HANG else ["internal"] * 2)


def test_callers_that_leave_touch_only_themselves(project: Project, begin: Begin) -> None:
    worker = begin()
    python = python_callers(worker, SLOW)

    async def main() -> None:
        async with load(python):
            for number in range(1_000_000, 1_000_040):
                _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
                writer.write(python.request(number))
                await writer.drain()
                writer.transport.abort()
            await python.reach(100)

    asyncio.run(main())
    assert python.failures == [] and len(python.answers) >= 100
    assert worker.end() == 0
    answered_once(project, python)


def test_too_much_gets_503_and_the_neighbour_does_not_wait(project: Project, begin: Begin) -> None:
    worker = begin(max_queue_rows=4)
    plain = plain_callers(worker)
    python = python_callers(worker, SLOW, callers=32)

    async def main() -> None:
        async with load(plain, python):
            await python.reach(50)
            await plain.reach(100)

    asyncio.run(main())
    assert plain.failures == []
    assert {status for status, _ in python.failures} == {503}
    assert {answer["code"] for _, answer in python.failures} == {"overloaded"}
    assert worker.end() == 0
    answered_once(project, plain, python)
    assert not [record for record in project.records() if record.error]  # what was refused is no decision


def test_another_version_takes_over_under_load_and_the_memory_of_the_old_comes_back(
    project: Project, begin: Begin
) -> None:
    worker = begin()
    python = python_callers(worker)

    async def main() -> None:
        async with load(python):
            await python.reach(200)
            project.publish(telling_route(project), python_route(project, 2, factor=10.0))
            while python.answers[-1]["model_version"] == 1:
                await asyncio.sleep(0.01)
            await python.reach(200)

    asyncio.run(main())
    assert python.failures == []
    assert {answer["model_version"] for answer in python.answers} == {1, 2}
    (old,) = started(log_of(project))
    until(lambda: not (Path("/proc") / str(old)).exists(), "the old version's process to end")
    until(lambda: len(list((project.root / "python").glob("work-*"))) == 1, "its files to go")
    assert worker.end() == 0
    answered_once(project, python)


def test_a_killed_worker_takes_its_models_with_it_even_while_they_hang(project: Project, begin: Begin) -> None:
    worker = begin(wait_ms=60_000)
    worker_limits = started(log_of(project))
    assert call(worker.port, "POST", "/v1/endpoints/odd/predict", odd(1.0))[0] == 200
    (pid,) = started(log_of(project)) or worker_limits
    with socket.create_connection(("127.0.0.1", worker.port)) as hanging:
        raw = json.dumps(odd(HANG)).encode()
        hanging.sendall(
            b"POST /v1/endpoints/odd/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer flj_app\r\n"
            b"content-length: %d\r\n\r\n" % len(raw) + raw
        )
        until(lambda: _state(pid) == "R", "the model to hang", every_s=0.002)
        worker.end(signal.SIGKILL)
    until(lambda: not (Path("/proc") / str(pid)).exists(), "the model's process to end")
    again = begin()
    assert call(again.port, "POST", "/v1/endpoints/odd/predict", odd(1.0))[0] == 200
    assert len(list((project.root / "python").glob("work-*"))) == 1  # what the killed one left was removed
    assert again.end() == 0


def test_a_model_that_does_not_load_keeps_the_version_before(project: Project, begin: Begin) -> None:
    worker = begin()
    assert call(worker.port, "POST", "/v1/endpoints/odd/predict", odd(1.0))[1]["model_version"] == 1
    broken = msgspec.structs.replace(package(), files={"odd.py": b"raise OSError('no weights')"})
    artifact = ArtifactRef(project.blobs.put(broken.encode()), "python")
    variant = Variant("champion", "odd", 2, 10_000, "live", artifact, BARE)
    project.publish(telling_route(project), route(variant, endpoint="odd", epoch=2))
    until(lambda: "raised OSError: no weights" in (project.root / "worker.out").read_text(), "the refusal")
    assert call(worker.port, "POST", "/v1/endpoints/odd/predict", odd(1.0))[1]["model_version"] == 1
    assert call(worker.port, "GET", "/v2/models/odd/ready")[0] == 200
    assert worker.end() == 0


def _state(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("path", ["/v1/endpoints/odd/predict", "/v2/models/odd:raw/infer"])
def test_who_asks_where_the_time_went_is_told_of_the_model_s_process(begin: Begin, path: str) -> None:
    worker = begin()
    rows = {"inputs": [{"name": "in", "datatype": "FP32", "shape": [1, 2], "data": [SLOW, 2.0]}]}
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=20)
    body = json.dumps(rows if path.startswith("/v2") else odd(SLOW))
    connection.request("POST", f"{path}?timing=1", body, {"authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    parts = (part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    spent = {name: float(milliseconds) for name, milliseconds in parts}
    connection.close()
    assert {"route", "queue", "model", "log"} <= set(spent)
    assert spent["total"] >= spent["model"] >= 50.0, spent  # what a slow row sleeps at least
