"""A gateway worker as a process, and callers who want more than they may have: rows, time, connections, or secrets."""

import contextlib
import json
import select
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from falaj.definitions.routing_table import EndpointRoute, RoutingTable
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.kernel.codec import to_msgpack
from falaj.kernel.rate import Rate
from falaj.storage.keyvalue.snapshots import write_snapshots
from support.gateway_process import Project, WorkerProcess, call
from support.serving_world import TOKEN, ask, route
from support.waiting import until

PREDICT = "/v1/endpoints/fraud/predict"
HOUR_US = 3_600_000_000
LIMITS = {"request_timeout_s": 1.0, "idle_timeout_s": 60.0, "max_connections": 40, "linger_s": 0.5}


def entry(name: str, tenant: str = "", rate: Rate | None = None) -> TokenEntry:
    return TokenEntry(f"tok_{name}", name, Role.SERVICE, ("*",), None, tenant, rate)


def publish(project: Project, *routes: EndpointRoute, **limited: TokenEntry) -> None:
    """Publish routes and the tokens `flj_NAME`."""
    project.epoch += 1
    entries = {hash_token(f"flj_{name}"): each for name, each in limited.items()}
    snapshot = TokenSnapshot({hash_token(TOKEN): entry("app")} | entries, {"shop": Rate(1, HOUR_US, 20)})
    table = RoutingTable(project.epoch, {r.endpoint: r for r in routes})
    write_snapshots(project.store, {"routing": to_msgpack(table), "tokens": to_msgpack(snapshot)}, project.epoch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.close()


@pytest.fixture
def project(trained: Project) -> Project:
    publish(trained, route(trained.variant(1)))
    return trained


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., WorkerProcess]]:
    with contextlib.ExitStack() as stack:
        number = iter(range(100))

        def begin(**more: Any) -> WorkerProcess:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
            worker = WorkerProcess(project, listening, worker=f"gateway-{next(number)}", **more)
            stack.callback(worker.end)
            return worker

        yield begin


def serves(worker: WorkerProcess) -> bool:
    return call(worker.port, "POST", PREDICT, ask("c1", 10.0))[0] == 200


def test_a_limit_holds_exactly_over_all_workers_and_connections(
    project: Project, start: Callable[..., WorkerProcess]
) -> None:
    publish(
        project,
        route(project.variant(1)),
        one=entry("one", rate=Rate(1, HOUR_US, 30)),
        left=entry("left", "shop"),
        right=entry("right", "shop"),
    )
    workers = [start(), start()]
    assert all(serves(worker) for worker in workers)

    def ask_for(number: int) -> tuple[int, int]:
        rows = 1 + number % 3
        port = workers[number % 2].port
        return rows, call(port, "POST", PREDICT, [ask("c1", 10.0)] * rows, "flj_one")[0]

    def ask_for_shop(number: int) -> int:
        token = ("flj_left", "flj_right")[number // 2 % 2]
        return call(workers[number % 2].port, "POST", PREDICT, ask("c1", 10.0), token)[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask_for, range(60)))
        shop = list(pool.map(ask_for_shop, range(60)))
    assert {status for _, status in answers} == {200, 429}
    # What was refused while somebody else's rows were in hand may be had now: the last row is got in any case.
    last = 0
    while call(workers[last % 2].port, "POST", PREDICT, ask("c1", 10.0), "flj_one")[0] == 200:
        last += 1
    assert sum(rows for rows, status in answers if status == 200) + last == 30
    assert (shop.count(200), shop.count(429)) == (20, 40)


def test_a_killed_worker_leaves_no_bucket_locked(project: Project, start: Callable[..., WorkerProcess]) -> None:
    publish(project, route(project.variant(1)), two=entry("two", rate=Rate(1_000_000, 1_000_000, 1_000_000)))
    workers = [start(), start()]
    assert all(serves(worker) for worker in workers)
    with ThreadPoolExecutor(8) as pool:

        def hammer(number: int) -> None:
            with contextlib.suppress(OSError, ValueError):
                call(workers[number % 2].port, "POST", PREDICT, ask("c1", 10.0), "flj_two")

        asking = [pool.submit(hammer, number) for number in range(200)]
        until(lambda: sum(each.done() for each in asking) > 50, "some answers")
        assert workers[0].end(signal.SIGKILL) == -signal.SIGKILL
        workers_left = workers[1].port
        assert call(workers_left, "POST", PREDICT, ask("c1", 10.0), "flj_two")[0] == 200
        for each in asking:
            each.cancel()


def test_a_revoked_token_is_refused_within_five_seconds_on_an_open_connection(
    project: Project, start: Callable[..., WorkerProcess]
) -> None:
    publish(project, route(project.variant(1)), gone=entry("gone"))
    worker = start()
    raw = json.dumps(ask("c1", 10.0)).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer flj_gone\r\n"
    sent = f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as connection:

        def status() -> int:
            connection.sendall(sent)
            return int(_answer(connection).split(b" ")[1])

        assert status() == 200
        publish(project, route(project.variant(1)))
        until(lambda: status() == 401, "the token refused", within_s=5)


def test_clients_that_drip_are_ended_and_hold_up_nobody(start: Callable[..., WorkerProcess]) -> None:
    worker = start(limits=LIMITS)
    head = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer flj_app\r\n"
    body = head + b"content-length: 4000\r\n\r\n"
    with contextlib.ExitStack() as stack:

        def opened(first: bytes) -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), timeout=20))
            connection.sendall(first)
            return connection

        dripping = [opened(first) for first in (b"POST /", head, body, body + b"{") for _ in range(5)]
        answers: dict[int, bytes] = {}

        def drip() -> bool:
            for number, connection in enumerate(dripping):
                if number in answers:
                    continue
                if select.select([connection], [], [], 0)[0]:
                    answers[number] = connection.recv(65536)
                else:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"a" if number >= 10 else b"x")
            assert serves(worker)
            return len(answers) == len(dripping)

        # The bodies keep coming, a byte at a time: that they are too slow is told by their rate, not by a pause.
        until(drip, "an end to each of them", within_s=30)
    assert {answer.split(b"\r\n")[0].split(b" ")[1] for answer in answers.values()} == {b"408"}


@pytest.mark.parametrize("kind", ["endless name", "endless value", "endless line", "many headers"])
def test_heads_that_never_end_are_refused_and_not_kept(kind: str, start: Callable[..., WorkerProcess]) -> None:
    worker = start(limits=LIMITS)
    assert serves(worker)
    first, more = {
        "endless name": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"n" * 1000),
        "endless value": (b"GET / HTTP/1.1\r\nhost: x\r\nv: ", b"v" * 1000),
        "endless line": (b"GET /", b"p" * 1000),
        "many headers": (b"GET / HTTP/1.1\r\nhost: x\r\n", b"".join(b"h%d: 1\r\n" % n for n in range(1000))),
    }[kind]
    before = _rss_bytes(worker)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as connection:
            connection.sendall(first)
            answered = b""
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    connection.sendall(more)
                    if select.select([connection], [], [], 0)[0]:
                        answered = connection.recv(65536)
                        break
                else:
                    answered = connection.recv(65536)
            assert answered.split(b" ")[1] in (b"431", b"414", b"400"), answered
    assert serves(worker)
    assert _rss_bytes(worker) < before + (32 << 20)


def test_a_flood_of_connections_is_turned_away_and_those_that_are_open_go_on(
    start: Callable[..., WorkerProcess],
) -> None:
    worker = start(limits=LIMITS)
    raw = json.dumps(ask("c1", 10.0)).encode()
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
    sent = f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw
    with contextlib.ExitStack() as stack:

        def opened() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), timeout=20))

        mine = opened()
        mine.sendall(sent)
        assert b" 200 " in _answer(mine)
        flood = [opened() for _ in range(300)]
        turned_away = [each for each in flood[100:] if b" 503 " in each.recv(65536)]
        assert len(turned_away) == 200
        mine.sendall(sent)
        assert b" 200 " in _answer(mine)
        for each in flood:
            each.close()
        until(lambda: _ok(worker), "room for others again")


def _ok(worker: WorkerProcess) -> bool:
    with contextlib.suppress(OSError):
        return serves(worker)
    return False


def test_it_does_not_listen_to_the_network_before_it_knows_whom_to_let_in(trained: Project, tmp_path: Path) -> None:
    empty = Project(tmp_path / "empty")
    try:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            worker = WorkerProcess(empty, listening, host="0.0.0.0", first_load_s=0.3)  # noqa: S104
            assert worker.process.wait(20) == 1
            said = (empty.root / "worker.out").read_text()
            worker.end()
        assert "gateway.host = '0.0.0.0' is open to the network, and the tokens are not known yet" in said
    finally:
        empty.close()
    publish(trained, route(trained.variant(1)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = WorkerProcess(trained, listening, host="0.0.0.0", first_load_s=20.0)  # noqa: S104
        assert serves(worker)
        assert call(worker.port, "POST", PREDICT, ask("c1", 10.0), token="flj_guess")[0] == 401
        worker.end()


def _answer(connection: socket.socket) -> bytes:
    """One whole answer."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        assert part, answer
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    missing = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
    while missing > 0:
        part = connection.recv(missing)
        assert part
        answer, missing = answer + part, missing - len(part)
    return answer


def _rss_bytes(worker: WorkerProcess) -> int:
    pages = int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1])
    return pages * 4096
