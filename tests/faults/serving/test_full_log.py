"""A full disk under the prediction log, in steady load: decisions go on, and what finds no room is counted exactly."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_load import Load, check_decisions
from support.gateway_process import Project, WorkerProcess, call
from support.serving_world import OWNER
from support.small_disk import small_disk
from support.storage_faults import fill
from support.telling_model import telling_project

SEGMENT_BYTES = 300_000
"""Segments are finished and begun while the disk is full."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    with small_disk(tmp_path / "disk", "16m") as folder:
        yield folder


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = telling_project(Project(tmp_path / "project"))
    yield made
    made.close()


@pytest.fixture
def worker(project: Project, disk: Path) -> Iterator[WorkerProcess]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        running = WorkerProcess(project, listening, log=str(disk / "log"), segment_bytes=SEGMENT_BYTES)
        yield running
        running.end()


def drops(worker: WorkerProcess) -> int:
    lines = call(worker.port, "GET", "/metrics", token=OWNER)[1].splitlines()
    return int(next(line.split()[-1] for line in lines if line.startswith("falaj_log_drops_total ")))


def test_decisions_go_on_and_only_those_are_lost_that_are_counted(
    project: Project, worker: WorkerProcess, disk: Path
) -> None:
    load = Load(worker.port)
    lost = 0

    async def main() -> None:
        nonlocal lost
        running = asyncio.create_task(load.run())
        await load.reach(2_000)
        for _ in range(3):
            assert await asyncio.to_thread(drops, worker) == lost
            ballast = fill(disk)
            while await asyncio.to_thread(drops, worker) < lost + 500:
                await load.reach(50)
            for path in ballast:
                path.unlink()
            await load.reach(200)  # those that were under way when there was no room are answered
            lost = await asyncio.to_thread(drops, worker)
            await load.reach(2_000)
        load.stopping = True
        await asyncio.wait_for(running, 20)

    asyncio.run(main())
    assert drops(worker) == lost >= 1_500
    assert "falaj_faults_total 0\n" in call(worker.port, "GET", "/metrics", token=OWNER)[1]
    assert worker.end() == 0
    assert load.failures == []
    assert len(list((disk / "log").glob("*.seg"))) > 3
    records = project.records(str(disk / "log"))
    check_decisions(load.answered, records, dropped=lost)
    assert len(records) == len(load.answered) - lost


def test_an_outcome_is_never_taken_and_then_lost(project: Project, worker: WorkerProcess, disk: Path) -> None:
    taken: list[str] = []
    statuses: list[int] = []

    def send(outcomes: int) -> None:
        for _ in range(outcomes):
            name = f"req_{len(statuses)}"
            statuses.append(call(worker.port, "POST", "/v1/feedback", {"request_id": name, "outcome": 1})[0])
            if statuses[-1] == 200:
                taken.append(name)

    send(50)
    ballast = fill(disk)
    send(300)  # the segment's last block takes some
    for path in ballast:
        path.unlink()
    send(50)
    assert worker.end() == 0
    assert set(statuses) == {200, 503}
    assert set(statuses[:50] + statuses[-50:]) == {200}
    assert set(statuses[250:350]) == {503}
    assert [record.request_id for record in project.records(str(disk / "log"))] == taken
