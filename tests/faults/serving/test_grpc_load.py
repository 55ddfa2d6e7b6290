"""Steady load over gRPC: restarts, killed workers and clients that go away cost no answer and mix up no row."""

import contextlib
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from falaj.serving.grpc.messages import INFERENCE
from falaj.serving.stats import read_stats
from support.gateway_load import asked_by, check_decisions
from support.gateway_process import Project, WorkerProcess, call
from support.grpc_client import INFER, RawClient
from support.grpc_load import GrpcLoad, request_of
from support.serving_world import OWNER
from support.telling_model import score_of, telling_project
from support.waiting import until

RUDE = 1_000_000
"""The first number of the requests of those who go away."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"

Start = Callable[..., WorkerProcess]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = telling_project(Project(tmp_path))
    yield made
    made.close()


@pytest.fixture
def start(project: Project) -> Iterator[Start]:
    """Starts workers by number, all of them behind the same two ports."""
    with (
        contextlib.ExitStack() as stack,
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(("127.0.0.1", 0)) as shared,
    ):
        port, fd = shared.getsockname()[1], shared.fileno()

        def begin(number: int, **more: Any) -> WorkerProcess:
            name = f"gateway-{number}"
            worker = WorkerProcess(project, listening, grpc_port=port, grpc_listen_fd=fd, worker=name, **more)
            stack.callback(worker.end, signal.SIGKILL)
            return worker

        yield begin


def both_live(project: Project) -> bool:
    """Whether two workers have begun to count."""
    return len(read_stats(project.root / "stats", time.time_ns() // 1000).live) == 2


def test_restarts_under_load_lose_no_answer_and_mix_up_no_row(project: Project, start: Start) -> None:
    workers = [start(0), start(1)]
    with GrpcLoad(workers[0].grpc_port) as load:
        for turn in range(4):
            until(lambda: both_live(project), "both workers live", within_s=60)
            load.reach(150)
            assert workers[turn % 2].end() == 0
            workers[turn % 2] = start(turn % 2)
        until(lambda: both_live(project), "both workers live", within_s=60)
        load.reach(150)
    assert [worker.end() for worker in workers] == [0, 0]
    assert load.failures == []
    assert len(load.answered) >= 750
    check_decisions(load.answered, project.records())


def test_killed_workers_under_load_lose_no_answer_and_mix_up_no_row(project: Project, start: Start) -> None:
    first, second = start(0), start(1)
    with GrpcLoad(first.grpc_port) as load:
        until(lambda: both_live(project), "both workers live", within_s=60)
        load.reach(150)
        load.killing = True
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        load.reach(150)  # the other goes on
        load.killing = False
        third = start(0)
        until(lambda: both_live(project), "both workers live", within_s=60)
        load.reach(150)
        load.killing = True
        assert second.end(signal.SIGKILL) == -signal.SIGKILL
        load.reach(150)
    assert third.end() == 0
    assert load.failures == []
    assert len(load.cut_off) <= 2 * 6  # one of each caller at most, twice
    check_decisions(load.answered, project.records())


def _open_files(worker: WorkerProcess) -> int:
    return len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir()))


def _send_and_reset(port: int, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(ConnectionError):
            connection.sendall(raw)


def _frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


NO_GRPC = {
    "nothing": b"",
    "half a preface": PREFACE[:11],
    "another protocol": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    "noise": bytes(range(256)) * 40,
    "settings cut off": PREFACE + SETTINGS[:5],
    "a frame that never ends": PREFACE + SETTINGS + _frame(0, 0, 1, b"x" * 100, length=2**24 - 1),
    "headers that are none": PREFACE + SETTINGS + _frame(1, 4, 1, b"\xff" * 50),
    "headers without an end": PREFACE + SETTINGS + _frame(1, 0, 1, b"\x82") + _frame(9, 0, 1, b"\x82") * 50,
    "a stream of the server's": PREFACE + SETTINGS + _frame(1, 4, 2, b"\x82"),
    "an unknown kind": PREFACE + SETTINGS + _frame(200, 255, 3, b"x" * 30) * 10,
    "pings": PREFACE + SETTINGS + _frame(6, 0, 0, b"12345678") * 200,
    "resets": PREFACE + SETTINGS + _frame(3, 0, 1, b"\0\0\0\1") * 50,
}


def test_clients_that_go_away_or_speak_no_grpc_touch_only_themselves(project: Project, start: Start) -> None:
    worker = start(0)
    with GrpcLoad(worker.grpc_port, callers=3) as load:
        load.reach(100)
        before = _open_files(worker)
        for turn in range(10):
            for raw in NO_GRPC.values():
                _send_and_reset(worker.grpc_port, raw)
            client = RawClient(worker.grpc_port)
            client.raw(f"/{INFERENCE}/ServerLive", b"")  # it is connected
            ask = client.channel.unary_unary(INFER)
            numbers = range(RUDE + 100 * turn, RUDE + 100 * turn + 20)
            calls = [ask.future(request_of(number), metadata=client.metadata) for number in numbers]
            if turn % 2:
                for one in calls:
                    one.cancel()
            stream = client.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")
            more = stream(iter([request_of(RUDE + 100 * turn + 50)]), metadata=client.metadata)
            client.close()  # with all of them under way
            assert not list(_answers(more))
            load.reach(20)
        load.reach(100)
        until(lambda: _open_files(worker) <= before, "their connections to be forgotten")
    assert "falaj_faults_total 0\n" in call(worker.port, "GET", "/metrics", token=OWNER)[1]
    assert worker.end() == 0
    assert load.failures == []
    records = project.records()
    check_decisions(load.answered, records)
    # What was asked and then given up may have been decided: then once, for the card that it named.
    rude = [record for record in records if int(record.client_id) >= RUDE]
    assert set(Counter(record.client_id for record in rude).values()) <= {1}
    for record in rude:
        card, amount = asked_by(int(record.client_id))
        assert (record.entities, record.score) == ({"card_id": f"t{card}"}, score_of(card, amount, 1))


def _answers(stream: Iterator[bytes]) -> Iterator[bytes]:
    import grpc

    with contextlib.suppress(grpc.RpcError, ValueError):
        yield from stream


def test_a_flood_of_connections_is_bounded_and_those_that_are_open_go_on(project: Project, start: Start) -> None:
    worker = start(0, limits={"max_connections": 80, "request_timeout_s": 60.0})
    with GrpcLoad(worker.grpc_port, callers=3) as load:
        load.reach(100)
        before = _open_files(worker)
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                held = stack.enter_context(socket.create_connection(("127.0.0.1", worker.grpc_port), timeout=20))
                with contextlib.suppress(ConnectionError):
                    held.sendall(PREFACE + SETTINGS)
            load.reach(100)
            assert _open_files(worker) <= before + 3 * 10  # ten may be open: an eighth of HTTP's
            assert call(worker.port, "GET", "/v2/health/ready")[0] == 200
        until(lambda: _open_files(worker) <= before, "room for others again")
    client = RawClient(worker.grpc_port)
    assert client.raw(INFER, request_of(RUDE))
    client.close()
    assert worker.end() == 0
    assert load.failures == []
    check_decisions(load.answered, project.records())
