"""A worker under steady load whose shadow hangs, fails and computes: callers do not notice, and all is counted."""

import asyncio
import functools
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
from support.serving_world import OWNER, ask, route
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
PATH = "/v1/endpoints/fraud/predict"
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
    """What the worker counts: live decisions, rows of shadows by version, and rows left out."""

    def __init__(self, port: int) -> None:
        text = str(call(port, "GET", "/metrics", token=OWNER)[1])
        line = r'^falaj_predictions_total\{endpoint="fraud",variant="\w+",version="(\d+)",role="(\w+)"\} (\d+)$'
        found = re.findall(line, text, re.MULTILINE)
        self.live = sum(int(count) for _, role, count in found if role == "live")
        self.shadow = {int(version): int(count) for version, role, count in found if role == "shadow"}
        drops = re.search(r"^falaj_shadow_drops_total (\d+)$", text, re.MULTILINE)
        assert drops
        self.drops = int(drops[1])

    @property
    def unshadowed(self) -> int:
        """Decisions neither computed in the shadow nor left out: from before it was loaded, and those that wait."""
        return self.live - sum(self.shadow.values()) - self.drops


def nothing_waits(port: int, unshadowed: int) -> bool:
    return Counted(port).unshadowed == unshadowed


def shadowed(port: int, version: int) -> int:
    """Ask, one at a time, until a shadow is loaded; return how many decisions there were before one was."""
    until(lambda: call(port, "POST", PATH, ask("c1")) and Counted(port).shadow.get(version), "the shadow is loaded")
    seen: list[int] = []

    def same() -> bool:
        seen.append(Counted(port).unshadowed)
        return len(seen) > 1 and seen[-1] == seen[-2]

    until(same, "nothing waits", every_s=1.0)
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
    live = project.variant(1)
    shadows = {HANGS: told(project, HANGS), FAILS: told(project, FAILS), COMPUTES: project.variant(COMPUTES)}
    before = 0
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        project.publish(route(live))
        worker = begin(listening)
        load = Load(worker.port)

        async def main(version: int) -> None:
            hang, fail = project.root / f"hang-{version}", project.root / f"fail-{version}"
            load.stopping = False
            running = asyncio.create_task(load.run())
            async with asyncio.timeout(60):
                await load.reach(300)
                if version == HANGS:
                    hang.touch()
                    await load.reach(MAX_ROWS + 500)  # all of them while one batch of the shadow hangs
                    hang.unlink()
                if version == FAILS:
                    fail.touch()
                await load.reach(300)
            load.stopping = True
            await asyncio.wait_for(running, 20)

        for version, one in shadows.items():
            project.publish(route(live, shadow(one), epoch=version))
            before = shadowed(worker.port, version)
            asyncio.run(main(version))
            # Every decision since is computed by the shadow, or counted as left out.
            until(functools.partial(nothing_waits, worker.port, before), "nothing waits", within_s=60)
        last = Counted(worker.port)
        assert worker.end() == 0
    records = [record for record in project.records() if isinstance(record, PredictionRecord)]
    decided = Counter(record.request_id for record in records if record.role == "live")
    beside = Counter(record.request_id for record in records if record.role == "shadow")
    assert load.failures == []
    assert load.versions == {1}
    assert {answer.request_id for answer in load.answered} <= set(decided)
    assert set(decided.values()) == {1}
    assert set(beside.values()) == {1}
    assert set(beside) <= set(decided)
    assert last.live == len(decided) == len(beside) + last.drops + before
    assert last.drops >= 500 - 256, "of what came while it hung, as much as there was no room for"
    found = Counter((record.version, record.error != "") for record in records if record.role == "shadow")
    assert {version: found[version, False] + found[version, True] for version in shadows} == last.shadow
    assert found[FAILS, True] > 0
    assert found[HANGS, True] == found[COMPUTES, True] == 0


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
