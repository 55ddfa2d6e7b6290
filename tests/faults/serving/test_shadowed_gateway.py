"""A worker under steady load whose shadow hangs, fails and computes: callers do not notice, and all is counted."""

import asyncio
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.routing_table import ArtifactRef, Variant
from falaj.models.python.package import PythonPackage
from falaj.serving.shadows import MAX_ROWS
from support.gateway_load import Load
from support.gateway_process import Project, WorkerProcess, call
from support.python_models import settings
from support.serving_world import OWNER, route
from support.waiting import until

CODE = b"""
import pathlib
import time

import numpy as np


class Told:
    def __init__(self, folder="", version=0):
        self.hang = pathlib.Path(folder, f"hang-{version}")
        self.fail = pathlib.Path(folder, f"fail-{version}")

    def load(self, folder):
        pass

    def predict(self, matrix):
        while self.hang.exists():
            time.sleep(0.01)
        if self.fail.exists():
            raise KeyError("never")
        return np.full(len(matrix), 0.5)
"""
Begin = Callable[[socket.socket], WorkerProcess]
HANGS, FAILS, COMPUTES = 11, 12, 2


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.close()


def told(project: Project, version: int) -> Variant:
    """A version that hangs, or fails, for as long as a file says so."""
    package = PythonPackage("told:Told", {"folder": str(project.root), "version": version}, {"told.py": CODE})
    artifact = ArtifactRef(project.blobs.put(package.encode()), "python")
    return msgspec.structs.replace(project.variant(1), version=version, artifact=artifact)


def shadow(of: Variant) -> Variant:
    return msgspec.structs.replace(of, name="shadow", role="shadow", weight=10_000)


class Counted:
    """What the worker counts: rows of shadows by version, and rows left out."""

    def __init__(self, port: int) -> None:
        text = str(call(port, "GET", "/metrics", token=OWNER)[1])
        line = r'^falaj_predictions_total\{endpoint="fraud",variant="shadow",version="(\d+)",role="shadow"\} (\d+)$'
        self.shadow = {int(version): int(count) for version, count in re.findall(line, text, re.MULTILINE)}
        drops = re.search(r"^falaj_shadow_drops_total (\d+)$", text, re.MULTILINE)
        assert drops
        self.drops = int(drops[1])


def settled(port: int) -> Counted:
    """What is counted once nobody asks and no row waits."""
    seen: list[Counted] = []

    def same() -> bool:
        seen.append(Counted(port))
        return len(seen) > 1 and seen[-1].shadow == seen[-2].shadow

    until(same, "the shadow has computed what waited", every_s=1.0)
    return seen[-1]


@pytest.fixture
def begin(project: Project) -> Iterator[Begin]:
    """Begins a worker, which ends with the test."""
    begun: list[WorkerProcess] = []

    def make(listening: socket.socket) -> WorkerProcess:
        limits = msgspec.to_builtins(settings(timeout_ms=120_000, wait_ms=120_000))
        worker = WorkerProcess(project, listening, python=limits, python_folder=str(project.root / "python"))
        begun.append(worker)
        return worker

    yield make
    for worker in begun:
        worker.end(signal.SIGKILL)


def test_callers_do_not_notice_what_their_shadow_does(project: Project, begin: Begin) -> None:
    hang, fail = project.root / f"hang-{HANGS}", project.root / f"fail-{FAILS}"
    live = project.variant(1)
    shadows = {HANGS: told(project, HANGS), FAILS: told(project, FAILS), COMPUTES: project.variant(COMPUTES)}
    project.publish(route(live, shadow(shadows[HANGS]), epoch=HANGS))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        worker = begin(listening)
        load = Load(worker.port)

        async def counted(version: int, rows: int) -> None:
            while (await asyncio.to_thread(Counted, worker.port)).shadow.get(version, 0) < rows:
                await load.reach(20)

        async def main() -> None:
            running = asyncio.create_task(load.run())
            async with asyncio.timeout(120):
                await counted(HANGS, 100)
                hang.touch()
                await load.reach(MAX_ROWS + 500)  # all of them while a batch of the shadow hangs
                assert load.failures == []
                hang.unlink()
                await counted(HANGS, MAX_ROWS)
                for version in (FAILS, COMPUTES):
                    project.publish(route(live, shadow(shadows[version]), epoch=version))
                    await counted(version, 1)
                    fail.touch()
                    await counted(version, 600)
            load.stopping = True
            await asyncio.wait_for(running, 20)

        asyncio.run(main())
        last = settled(worker.port)
        assert worker.end() == 0
    records = [record for record in project.records() if isinstance(record, PredictionRecord)]
    decided = Counter(record.request_id for record in records if record.role == "live")
    beside = Counter(record.request_id for record in records if record.role == "shadow")
    assert load.failures == []
    assert load.versions == {1}
    assert set(load.answered) <= set(decided)
    assert set(decided.values()) == {1}
    assert set(beside.values()) == {1}
    assert set(beside) <= set(decided)
    found = Counter((record.version, record.error != "") for record in records if record.role == "shadow")
    assert {version: found[version, False] + found[version, True] for version in shadows} == last.shadow
    assert found[FAILS, True] > 0
    assert found[HANGS, True] == found[COMPUTES, True] == 0
    assert last.drops >= 400
    # From the moment when a shadow is loaded, every decision is computed by it or counted as left out.
    begun: set[int] = set()
    shadowed = 0
    for record in records:
        if record.role == "live":
            begun |= {record.epoch} if record.request_id in beside else set()
            shadowed += record.epoch in begun
    assert begun == set(shadows)
    assert shadowed == len(beside) + last.drops


def test_a_shadow_that_cannot_be_loaded_in_time_keeps_nobody_waiting(project: Project, begin: Begin) -> None:
    """Its warming up hangs: the worker is ready without it, and adopts what is published meanwhile."""
    hang = project.root / f"hang-{HANGS}"
    hang.touch()
    hangs = shadow(told(project, HANGS))
    project.publish(route(project.variant(1), hangs, epoch=1))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        worker = begin(listening)
        load = Load(worker.port, callers=2)

        async def main() -> None:
            running = asyncio.create_task(load.run())
            async with asyncio.timeout(60):
                await load.reach(50)
                project.publish(route(project.variant(2), hangs, epoch=2))
                while 2 not in load.versions:
                    await load.reach(10)
                hang.unlink()
                while not (await asyncio.to_thread(Counted, worker.port)).shadow.get(HANGS):
                    await load.reach(10)
            load.stopping = True
            await asyncio.wait_for(running, 20)

        asyncio.run(main())
        assert worker.end() == 0
    assert load.failures == []
    found = [record for record in project.records() if record.role == "shadow"]
    assert {(record.version, record.epoch) for record in found} == {(HANGS, 2)}
