"""What control writes reaches every worker without a restart: through the outbox and the online store, never by SQL."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from falaj.definitions.routing_table import EndpointRoute
from falaj.kernel.codec import to_msgpack
from falaj.rollout import table
from falaj.storage.metadata import outbox
from falaj.storage.metadata.database import Database
from support.gateway_process import Project, WorkerProcess, call
from support.redis_servers import redis_server
from support.serving_world import TOKEN, ask, route, tokens
from support.waiting import until

_log = logging.getLogger("tests.snapshots")
WORKERS = 2
PATH = "/v1/endpoints/fraud/predict"


class Control:
    """What control does to the metadata database, and its publication."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._db = Database.memory()
        self._db.create_all()
        entries = {digest: entry for digest, entry in tokens().tokens.items() if entry.expires_us is None}
        self.tokens = msgspec.structs.replace(tokens(), tokens=entries)

    def route(self, one: EndpointRoute) -> None:
        with self._db.write() as connection:
            table.write_route(connection, one, "ada", 1)
        self._publish()

    def revoke(self, name: str) -> None:
        left = {digest: entry for digest, entry in self.tokens.tokens.items() if entry.actor != name}
        self.tokens = msgspec.structs.replace(self.tokens, tokens=left)
        with self._db.write() as connection:
            outbox.announce(connection, "tokens", 1)
        self._publish()

    def _publish(self) -> None:
        def snapshot(connection: sa.Connection) -> bytes:
            del connection
            return to_msgpack(self.tokens)

        build = {table.TOPIC: table.routing_snapshot, "tokens": snapshot}
        assert outbox.publish(self._db, self._project.store, build, 1)

    def close(self) -> None:
        self._db.close()


@pytest.fixture(params=["lmdb", "redis"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] | None = None
        if request.param == "redis":
            server = stack.enter_context(redis_server(tmp_path / "redis"))
            settings = {"storage": {"online": "redis", "online_url": server.url}, "project": {"name": "shop"}}
        made = Project(tmp_path / "project", settings)
        stack.callback(made.close)
        yield made


@pytest.fixture
def control(project: Project) -> Iterator[Control]:
    made = Control(project)
    made.route(route(project.variant(1)))
    yield made
    made.close()


@pytest.fixture
def workers(project: Project, control: Control) -> Iterator[list[WorkerProcess]]:
    del control  # which has published before the workers begin
    with contextlib.ExitStack() as stack:
        running = []
        for number in range(WORKERS):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            running.append(WorkerProcess(project, listening, worker=f"gateway-{number}"))
            stack.callback(running[-1].end)
        yield running


def answer(worker: WorkerProcess) -> tuple[int, int | None]:
    status, body = call(worker.port, "POST", PATH, ask("c1", 10.0), TOKEN)
    return status, body.get("model_version")


def reached(workers: list[WorkerProcess], wanted: tuple[int, int | None], what: str) -> None:
    """Wait until each worker answers so, and say how long that took."""
    began = time.monotonic()
    until(lambda: all(answer(worker) == wanted for worker in workers), what, every_s=0.005)
    _log.info("%s: %.0f ms", what, (time.monotonic() - began) * 1000)  # for people: --log-cli-level=info


def test_routes_and_revoked_tokens_reach_every_worker_without_a_restart(
    project: Project, control: Control, workers: list[WorkerProcess]
) -> None:
    reached(workers, (200, 1), "the first route")
    for version in (2, 1, 2):
        control.route(route(project.variant(version)))
        reached(workers, (200, version), f"version {version}")
    control.revoke("app")
    reached(workers, (401, None), "a revoked token")
    assert [worker.process.poll() for worker in workers] == [None] * WORKERS
    loaded = workers[0].modules()
    assert {name for name in loaded if name == "sqlalchemy" or "falaj.storage.metadata" in name} == set()
