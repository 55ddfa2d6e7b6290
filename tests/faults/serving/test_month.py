"""A month in miniature: many requests, a hundred model changes, and memory at the end as after the first of them.

`FALAJ_TEST_LONG=1` makes the requests a million.
"""

import asyncio
import os
import socket
from pathlib import Path

from support.gateway_load import Load, check_decisions
from support.gateway_process import Project, WorkerProcess, call, resident_mib
from support.serving_world import OWNER
from support.telling_model import fill_cards, telling_route

CHANGES = 100
SETTLED = 20
REQUESTS = 1_000_000 if os.environ.get("FALAJ_TEST_LONG") else 50_000
MODEL_MIB = 4
PER_REQUEST_BYTES = 250
"""Were so little kept of each request after the first changes, it would be seen."""


def test_memory_is_flat_over_many_requests_and_a_hundred_model_changes(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    fill_cards(project)
    project.publish(telling_route(project, 1, ballast_mib=MODEL_MIB))
    resident: list[float] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        worker = WorkerProcess(project, listening)
        load = Load(worker.port, callers=2, pipelined=10)

        async def main() -> None:
            running = asyncio.create_task(load.run())
            await load.reach(REQUESTS // CHANGES)
            for version in range(2, CHANGES + 2):
                project.publish(telling_route(project, version, ballast_mib=MODEL_MIB))
                await load.reach(1, lambda answer, version=version: answer.version == version)  # type: ignore[misc]
                await load.reach(REQUESTS // CHANGES)
                resident.append(resident_mib(worker))
            load.stopping = True
            await asyncio.wait_for(running, 20)

        asyncio.run(main())
        assert "falaj_faults_total 0\n" in call(worker.port, "GET", "/metrics", token=OWNER)[1]
        assert worker.end() == 0
    project.close()
    assert load.failures == []
    assert len(load.answered) > REQUESTS
    assert load.versions == set(range(1, CHANGES + 2))
    records = project.records()
    check_decisions(load.answered, records)
    assert len(records) == len(load.answered)
    # One model in sixteen that were not given back, or a few bytes of each request, would be more than this.
    left = (CHANGES - SETTLED) / CHANGES
    allowed_mib = min(CHANGES * left * MODEL_MIB / 16, REQUESTS * left * PER_REQUEST_BYTES / 2**20 + MODEL_MIB)
    grown_mib = max(resident[-5:]) - max(resident[:SETTLED])
    assert grown_mib < allowed_mib, (grown_mib, allowed_mib, [round(mib) for mib in resident])
