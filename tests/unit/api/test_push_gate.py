"""The gate before pushes: bytes are counted before they are read, and let go whatever happens."""

import asyncio
from typing import Any

import pytest
from litestar.types import Message

from falaj.api.push_gate import PushGate


class Requests:
    """An application that answers when it is told to, behind a gate for 100 bytes, 60 for each body at the most."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.gate = PushGate(100, 60)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        del receive
        await self.go.wait()
        if scope["path"].endswith("fault"):
            raise RuntimeError("a fault behind the gate")
        await send({"type": "http.response.start", "status": 202, "headers": []})

    async def ask(self, size: int | None, path: str = "/v1/events/tx") -> dict[str, Any]:
        answers: list[Any] = []

        async def send(message: Message) -> None:
            answers.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is read by the gate")

        headers = [] if size is None else [(b"content-length", str(size).encode())]
        scope: Any = {"type": "http", "path": path, "headers": headers}
        await self.gate.before(self._app)(scope, receive, send)
        found: dict[str, Any] = answers[0]
        return found


def test_what_is_above_the_bound_is_refused_at_once_and_taken_later() -> None:
    async def play() -> None:
        requests = Requests()
        inside = [asyncio.create_task(requests.ask(size)) for size in (40, None)]
        await asyncio.sleep(0)
        refused = await requests.ask(1)
        assert refused["status"] == 503
        assert (b"retry-after", b"1") in refused["headers"]
        other = asyncio.create_task(requests.ask(1_000, "/v1/status"))
        requests.go.set()
        assert [(await one)["status"] for one in (*inside, other)] == [202, 202, 202]
        assert (await requests.ask(60))["status"] == 202

    asyncio.run(play())


def test_a_body_larger_than_the_bound_is_let_in_alone() -> None:
    async def play() -> None:
        requests = Requests()
        requests.gate = PushGate(10, 60)
        requests.go.set()
        assert (await requests.ask(50))["status"] == 202

    asyncio.run(play())


def test_a_fault_lets_its_bytes_go() -> None:
    async def play() -> None:
        requests = Requests()
        requests.go.set()
        for _ in range(5):
            with pytest.raises(RuntimeError):
                await requests.ask(60, "/v1/events/fault")
        assert (await requests.ask(60))["status"] == 202

    asyncio.run(play())
