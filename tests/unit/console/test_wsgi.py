"""A WSGI application asked from an ASGI one: a client that takes nothing holds its thread for a while and no longer."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from falaj.console.wsgi import answer


class Endless:
    """An application whose answer never ends; it knows whether its answer was closed."""

    closed = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> "Endless":
        del environ
        start_response("200 OK", [("content-type", "text/plain")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"piece"

    def close(self) -> None:
        self.closed = True


def test_a_client_that_takes_nothing_gives_its_thread_back() -> None:
    app, sent = Endless(), list[str]()

    async def ask(threads: ThreadPoolExecutor) -> None:
        never = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])
            if len(sent) == 3:
                await never.wait()

        with pytest.raises(TimeoutError):
            await answer(app, {}, send, threads, {}, takes_s=0.05)
        assert await asyncio.get_running_loop().run_in_executor(threads, lambda: "free") == "free"

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(ask(threads))
    assert sent == ["http.response.start", "http.response.body", "http.response.body"]
    assert app.closed
