"""Clients that go away in mid-request, or drip it byte by byte, under steady load: nobody else notices."""

import asyncio
import contextlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from falaj.serving.stats import SUFFIX, read_worker
from support.gateway_load import Load, asked_by, check_decisions, post, request_of
from support.gateway_process import Project, WorkerProcess, call
from support.serving_world import OWNER
from support.telling_model import score_of, telling_project
from support.waiting import until

RUDE = 1_000_000
"""The first number of their requests; those of the steady callers are below."""
EACH = 25
LIMITS = {"request_timeout_s": 2.0, "idle_timeout_s": 60.0, "linger_s": 0.5}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = telling_project(Project(tmp_path))
    yield made
    made.close()


@pytest.fixture
def worker(project: Project) -> Iterator[WorkerProcess]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        running = WorkerProcess(project, listening, limits=LIMITS)
        yield running
        running.end()


@contextlib.asynccontextmanager
async def steady(load: Load) -> AsyncIterator[None]:
    """Run the load around what happens, with answers before and after."""
    running = asyncio.create_task(load.run())
    await load.reach(200)
    yield
    await load.reach(200)
    load.stopping = True
    await asyncio.wait_for(running, 20)


def instances(numbers: range) -> bytes:
    """One request about many cards."""
    body = []
    for number in numbers:
        card, amount = asked_by(number)
        body.append({"entities": {"card_id": f"t{card}"}, "request": {"amount": amount}, "id": str(number)})
    return post(json.dumps(body).encode())


def sent_by(kind: str, number: int) -> bytes:
    """What a client of a kind sends before it goes."""
    whole = request_of(number)
    return {
        "a part of the head": whole[:40],
        "a part of the body": whole[:-10],
        "a whole request": whole,
        "many rows": instances(range(number, number + 400)),
        "a pipeline and a part": b"".join(request_of(number + more) for more in range(20)) + whole[:90],
    }[kind]


KINDS = ("a part of the head", "a part of the body", "a whole request", "many rows", "a pipeline and a part")


def metric(worker: WorkerProcess, name: str) -> float:
    text = call(worker.port, "GET", "/metrics", token=OWNER)[1]
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")))


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
def test_clients_that_go_away_in_mid_request(project: Project, worker: WorkerProcess, reset: bool) -> None:
    load = Load(worker.port, callers=4)

    async def go_away(kind: str, number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        if reset:  # at once, with whatever was not sent or read
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.write(sent_by(kind, number))
        if number % 2:
            await load.reach(1)  # it has been read, and perhaps answered
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def main() -> None:
        async with steady(load):
            numbers = iter(range(RUDE, 2 * RUDE, 1_001))
            for _ in range(EACH):
                await asyncio.gather(*(go_away(kind, next(numbers)) for kind in KINDS))

    asyncio.run(main())
    counts = project.root / "stats" / f"gateway-0{SUFFIX}"
    until(lambda: (stats := read_worker(counts)) and not stats.connections, "their connections to be forgotten")
    assert metric(worker, "falaj_faults_total") == 0
    assert worker.end() == 0
    assert load.failures == []
    records = project.records()
    check_decisions(load.answered, records)
    # What they sent whole may have been decided: then once, for the card that it named.
    rude = [record for record in records if int(record.client_id) >= RUDE]
    assert len(rude) > EACH
    assert set(Counter(record.client_id for record in rude).values()) == {1}
    for record in rude:
        card, amount = asked_by(int(record.client_id))
        assert (record.entities, record.score) == ({"card_id": f"t{card}"}, score_of(card, amount, 1))


async def answer_to(port: int, send: Callable[[asyncio.StreamWriter], Any]) -> tuple[int, Any]:
    """Send by a function and read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.ensure_future(send(writer))
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return int(head.split(b" ")[1]), json.loads(await reader.readexactly(length))
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await sending
        writer.close()


def test_clients_that_shut_their_sending_side_are_answered(project: Project, worker: WorkerProcess) -> None:
    load = Load(worker.port, callers=4)
    answers: list[tuple[int, Any]] = []

    async def shut(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(request_of(number))
        writer.write_eof()

    async def main() -> None:
        async with steady(load):
            sending = (lambda writer, n=number: shut(writer, n) for number in range(RUDE, RUDE + 100))
            answers.extend(await asyncio.gather(*(answer_to(worker.port, send) for send in sending)))

    asyncio.run(main())
    assert worker.end() == 0
    assert load.failures == []
    for number, (status, answer) in enumerate(answers, RUDE):
        assert (status, answer["id"], answer["prediction"]) == (200, str(number), score_of(*asked_by(number), 1))
    records = project.records()
    check_decisions(load.answered, records)
    logged = Counter(record.request_id for record in records)
    assert {logged[answer["request_id"]] for _, answer in answers} == {1}
    assert len(records) == len(load.answered) + len(answers)


def test_clients_that_drip(project: Project, worker: WorkerProcess) -> None:
    load = Load(worker.port, callers=4)
    slow: list[tuple[int, Any]] = []
    endless: list[tuple[int, Any]] = []

    async def drip(writer: asyncio.StreamWriter, raw: bytes, every: int) -> None:
        """Send a few bytes at a time, with others' answers in between."""
        for at in range(0, len(raw), every):
            writer.write(raw[at : at + every])
            await load.reach(1)

    async def main() -> None:
        whole = [(lambda writer, n=n: drip(writer, request_of(n), 20)) for n in range(RUDE, RUDE + 20)]
        head = b"POST /v1/endpoints/fraud/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer flj_app\r\n"
        never = [head + b"x: " + b"x" * 100_000, head + b"content-length: 100000\r\n\r\n" + b"x" * 99_999]
        parts = [(lambda writer, raw=raw: drip(writer, raw, 1)) for raw in never * 10]
        async with steady(load):
            found = await asyncio.gather(*(answer_to(worker.port, send) for send in whole + parts))
            slow.extend(found[: len(whole)])
            endless.extend(found[len(whole) :])

    asyncio.run(main())
    assert metric(worker, "falaj_faults_total") == 0
    assert worker.end() == 0
    assert load.failures == []
    for number, (status, answer) in enumerate(slow, RUDE):
        assert (status, answer["id"], answer["prediction"]) == (200, str(number), score_of(*asked_by(number), 1))
    assert Counter(status for status, _ in endless) == {408: 20}
    records = project.records()
    check_decisions(load.answered, records)
    assert len(records) == len(load.answered) + len(slow)
