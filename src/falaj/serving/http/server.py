"""HttpServer: listens, keeps the one coarse timer, and drains."""

import asyncio
import errno
import socket
import ssl

from falaj.kernel.clock import Clock
from falaj.kernel.errors import PortInUse, StorageError
from falaj.serving.http.connection import Connection
from falaj.serving.http.messages import Application, Limits, ResponseHeads

_TICK_S = 0.25
_BACKLOG = 2048
_PAUSE_S = 0.5
"""How long a worker that shed connections accepts none: until the clients it sent away have connected elsewhere."""


class HttpServer:
    """Serves an application over HTTP/1.1.

    Args:
        app: What is served.
        clock: For deadlines and the date in answers.
        limits: What one connection may ask.
        drain_idle_s: How long a draining server keeps connections that ask nothing; long enough for a request that
            is already on its way.

    Attributes:
        now_s: Monotonic seconds as of the last tick: deadlines need no finer time, and reading the clock for each
            request would cost more than parsing a header.
        responses: HTTP status to answers given so far.
        reading_bytes: Of bodies that have not come whole.
    """

    def __init__(self, app: Application, clock: Clock, limits: Limits = Limits(), drain_idle_s: float = 0.5) -> None:  # noqa: B008
        self.app = app
        self.limits = limits
        self.heads = ResponseHeads()
        self.draining = False
        self.drain_idle_s = drain_idle_s
        self.connections: set[Connection] = set()
        self.responses: dict[int, int] = {}
        self.reading_bytes = 0
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._second = -1
        self.now_s = 0.0
        self.tick()

    def connect(self) -> Connection:
        """Return the protocol object of a new connection."""
        return Connection(self)

    async def start(
        self,
        host: str = "",
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        reuse_port: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Listen.

        Args:
            host: Address to listen on.
            port: TCP port; 0 lets the system choose.
            sock: A listening socket made by someone else, instead of host and port. A supervisor that keeps it
                open loses no connection while a worker restarts.
            reuse_port: Share the port with other workers.
            tls: Speak TLS.

        Raises:
            PortInUse: Another program listens there.
            StorageError: The address cannot be used.
        """
        loop, self._tls = asyncio.get_running_loop(), tls
        try:
            if sock is not None:
                self._server = await loop.create_server(self.connect, sock=sock, ssl=tls, backlog=_BACKLOG)
            else:
                self._server = await loop.create_server(
                    self.connect, host, port, reuse_port=reuse_port, ssl=tls, backlog=_BACKLOG
                )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"{host}:{port} is in use", hint="stop the other program, or set gateway.port"
                ) from None
            raise StorageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._schedule(loop)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    def tick(self) -> None:
        """Take the time and end connections whose deadline has passed."""
        self.now_s = self._clock.monotonic()
        unix_s = self._clock.now().timestamp()
        if int(unix_s) != self._second:
            self._second = int(unix_s)
            self.heads.set_time(unix_s)
        for connection in tuple(self.connections):
            connection.check(self.now_s)

    def shed(self, connections: int) -> None:
        """Let the next answer of so many connections be their last, and accept none for a moment, so that their clients
        come to another worker that listens on the same socket.

        A connection that asks nothing stays: to close it could meet a request on its way.
        """
        if self._server is None or not self._server.sockets or self.draining:
            return
        leaving, loop = _Leaving(self), asyncio.get_running_loop()
        for connection in tuple(self.connections)[:connections]:
            connection.leave(leaving)
        listening = self._server.sockets[0].dup()
        self._server.close()
        self._resuming = loop.create_task(self._accept_again(listening))

    async def _accept_again(self, listening: socket.socket) -> None:
        await asyncio.sleep(_PAUSE_S)
        if self.draining:
            listening.close()
            return
        self._server = await asyncio.get_running_loop().create_server(
            self.connect, sock=listening, ssl=self._tls, backlog=_BACKLOG
        )

    def begin_drain(self) -> None:
        """Accept no more connections, and let each answer from now on be its connection's last."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.drain()

    @property
    def drained(self) -> bool:
        """Whether no connection is left."""
        return not self.connections

    async def drain(self, timeout_s: float) -> bool:
        """Finish what is in flight.

        Args:
            timeout_s: How long to wait for it.

        Returns:
            Whether all of it was answered in time.
        """
        self.begin_drain()
        deadline_s = self._clock.monotonic() + timeout_s
        while not self.drained and self._clock.monotonic() < deadline_s:
            await asyncio.sleep(_TICK_S / 10)
        finished = not any(connection.busy for connection in self.connections)
        self.close()
        await asyncio.sleep(0)  # lets the loop tell the aborted connections
        return finished

    def close(self) -> None:
        """Stop at once."""
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.abort()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(_TICK_S, self._on_timer, loop)

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick()
        self._schedule(loop)


class _Leaving:
    """The server as connections see it that are to end: each answer is the last, and nothing else is different."""

    draining = True

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.app, self.limits, self.heads = server.app, server.limits, server.heads
        self.connections, self.responses = server.connections, server.responses

    @property
    def now_s(self) -> float:
        """Monotonic seconds, as of the last tick."""
        return self._server.now_s

    @property
    def reading_bytes(self) -> int:
        """Of bodies that have not come whole, over all connections of the server."""
        return self._server.reading_bytes

    @reading_bytes.setter
    def reading_bytes(self, size_bytes: int) -> None:
        self._server.reading_bytes = size_bytes

    @property
    def drain_idle_s(self) -> float:
        """How long a connection may ask nothing: as long as ever, until the server itself drains."""
        return self._server.drain_idle_s if self._server.draining else self.limits.idle_timeout_s
