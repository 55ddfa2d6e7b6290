"""The server on a real socket and a real loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from falaj.kernel.clock import SystemClock
from falaj.kernel.errors import PortInUse
from falaj.serving.http import HttpServer, Limits
from support.serving_http import Recorder, chunked, get, post, read_answers


async def converse(port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    return raw


def serve(test: Callable[[HttpServer, Recorder], Awaitable[None]], limits: Limits | None = None) -> None:
    async def main() -> None:
        app = Recorder()
        server = HttpServer(app, SystemClock(), limits or Limits())
        await server.start("127.0.0.1", 0)
        await test(server, app)
        await server.drain(timeout_s=1)

    uvloop.run(main())


def test_a_client_is_served_over_a_socket() -> None:
    async def test(server: HttpServer, app: Recorder) -> None:
        last = get(b"/3", b"Connection: close")
        raw = await converse(server.port, get(b"/1"), post(b"b" * 300_000, path=b"/2"), chunked(b"a", b"b"), last)
        assert list(read_answers(raw)) == [(200, b"/1"), (200, b"/2"), (200, b"/c"), (200, b"/3")]
        assert [len(r.body) for r in app.requests] == [0, 300_000, 2, 0]

    serve(test)


def test_a_client_reads_its_refusal_while_it_still_sends() -> None:
    async def test(server: HttpServer, app: Recorder) -> None:
        raw = await converse(server.port, *[post(b"b" * 3_000_000)[i : i + 65536] for i in range(0, 3_000_000, 65536)])
        assert [status for status, _ in read_answers(raw)] == [413]
        assert app.requests == []

    serve(test, Limits(max_body_bytes=1000, linger_s=1))


def test_drain_stops_listening_and_closes() -> None:
    async def test(server: HttpServer, _app: Recorder) -> None:
        port = server.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(b"/one"))
        await reader.readuntil(b"/one")
        assert await server.drain(timeout_s=5)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    serve(test)


def test_an_inherited_socket_keeps_its_connections_while_no_worker_accepts() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    async def once(path: bytes, waiting: socket.socket) -> bytes:
        server = HttpServer(Recorder(), SystemClock())
        await server.start(sock=socket.fromfd(listening.fileno(), socket.AF_INET, socket.SOCK_STREAM))
        waiting.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(waiting, get(path, b"Connection: close"))
        answer = await loop.sock_recv(waiting, 65536)
        await server.drain(timeout_s=1)
        return answer

    for path in (b"/first", b"/second"):
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            assert uvloop.run(once(path, waiting)).endswith(path)
    listening.close()


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HttpServer(Recorder(), SystemClock())
        with pytest.raises(PortInUse, match=str(port)):
            uvloop.run(server.start("127.0.0.1", port))
