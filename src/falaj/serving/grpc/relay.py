"""The relay: what clients connect to, in front of gRPC's own server in the same process.

gRPC's server ends calls that arrive while it shuts down as CANCELLED, which clients give up on. The relay knows the
streams of each connection. At a drain it tells the client which was the last one that was taken, and leaves out what
comes later: that the client asks again by itself, of another worker. See docs/decisions/0038.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import cast

from falaj.kernel.errors import PortInUse, StorageError
from falaj.serving.grpc.frames import CALM, PREFACE_BYTES, Frames, goaway
from falaj.serving.grpc.uploads import Uploads
from falaj.serving.http import Limits

_BACKLOG = 1024
_LOOK_S = 0.02
_LOOKS_PER_TIMEOUT = 10
_MAX_LOOK_S = 1.0

Connect = Callable[[], socket.socket]
"""Opens a connection to gRPC's own server; does not wait."""


class Relay:
    """Listens, and passes bytes on.

    Args:
        connect: Opens a connection to gRPC's own server.
        limits: How slowly a client may send.
        max_links: Connections that may be open; more are closed as they come, and their clients try again later.

    Attributes:
        links: The open connections.
    """

    def __init__(self, connect: Connect, limits: Limits, max_links: int) -> None:
        self.links: set[Link] = set()
        self._connect = connect
        self._limits = limits
        self._max_links = max_links
        self._looking: asyncio.TimerHandle | None = None
        self._draining = False
        self._server: asyncio.Server | None = None

    async def start(
        self, host: str, port: int, *, sock: socket.socket | None = None, tls: ssl.SSLContext | None = None
    ) -> int:
        """Listen.

        Args:
            host: Address to listen on.
            port: TCP port, shared with other workers; 0 lets the system choose.
            sock: A listening socket made by someone else, instead of host and port.
            tls: Speak TLS; offers HTTP/2.

        Returns:
            The port.

        Raises:
            PortInUse: Another program listens there.
            StorageError: The address cannot be used.
        """
        loop = asyncio.get_running_loop()
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        try:
            if sock is not None:
                self._server = await loop.create_server(self._accept, sock=sock, ssl=tls, backlog=_BACKLOG)
            else:
                self._server = await loop.create_server(
                    self._accept, host, port, reuse_port=True, ssl=tls, backlog=_BACKLOG
                )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"{host}:{port} is in use", hint="stop the other program, or set gateway.grpc_port"
                ) from None
            raise StorageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._look()
        return int(self._server.sockets[0].getsockname()[1])

    def _look(self) -> None:
        """End the connections whose clients send too slowly."""
        loop = asyncio.get_running_loop()
        for link in tuple(self.links):
            link.look(loop.time(), self._limits)
        every_s = min(self._limits.request_timeout_s / _LOOKS_PER_TIMEOUT, _MAX_LOOK_S)
        self._looking = loop.call_later(every_s, self._look)

    def _accept(self) -> "_Client":
        link = Link(self.links, self._connect, self._max_links)
        if self._draining:  # it was on its way when the drain began
            link.drain()
        return _Client(link)

    def begin_drain(self) -> None:
        """Accept no more connections, and send the clients elsewhere."""
        self._draining = True
        if self._server is not None:
            self._server.close()
        for link in tuple(self.links):
            link.drain()

    async def wait_closed(self, within_s: float) -> bool:
        """Wait until all clients have left, which they do when their last answer is there.

        Returns:
            Whether they have, within the seconds.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while self.links and loop.time() < deadline_s:
            await asyncio.sleep(_LOOK_S)
        return not self.links

    def close(self) -> None:
        """Stop at once."""
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.close()
        for link in tuple(self.links):
            link.close()


class Link:
    """A client's connection and its continuation to gRPC's own server.

    Args:
        links: Where it is noted while it is open.
        connect: Opens the continuation.
        max_links: How many there may be.
    """

    def __init__(self, links: "set[Link]", connect: Connect, max_links: int) -> None:
        self._links = links
        self._connect = connect
        self._max_links = max_links
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        uploads = self._uploads = Uploads()
        self._asked = Frames(PREFACE_BYTES, uploads)
        self._answered = Frames(0, uploads, answers=True)
        self._unfinished, self._since_s = 0, 0.0
        self._early = b""
        self._goaway = b""
        self._greeted = False
        self._opening: asyncio.Task[None] | None = None

    def client_came(self, client: asyncio.Transport) -> None:
        """Open the continuation, if there is room."""
        self._client = client
        if len(self._links) >= self._max_links:
            client.abort()
            return
        self._links.add(self)
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            server = self._connect()
        except OSError:
            self.close()
            return
        loop = asyncio.get_running_loop()
        transport: asyncio.Transport | None = None
        try:
            transport, _ = await loop.create_connection(lambda: _Server(self), sock=server)
        finally:
            # A transport that was closed before it was returned has closed the descriptor, and uvloop has not told the
            # socket: that would close it again when it is forgotten, and by then the number may be somebody else's.
            if transport is None or transport.is_closing():
                server.detach()

    def server_came(self, server: asyncio.Transport) -> None:
        """Pass on what the client sent before."""
        self._server = server
        if self._client is None or self._client.is_closing():
            server.close()
        _write(server, self._early)
        self._early = b""

    def asked(self, data: bytes) -> None:
        """Pass on what the client sent."""
        if self._server is None:
            self._early += self._asked.take(data)  # one turn of the loop at most
        else:
            _write(self._server, self._asked.take(data))

    def answered(self, data: bytes) -> None:
        """Pass on what the server sent."""
        if self._client is not None:
            _write(self._client, self._answered.take(data))
            self._greeted = True
            if self._goaway:
                self._say_goaway()

    def drain(self) -> None:
        """Take no more streams, and say so."""
        self._asked.newest = self._asked.last_stream
        self._goaway = goaway(self._asked.last_stream)
        self._say_goaway()

    def _say_goaway(self) -> None:
        # The first frame of a server is its settings.
        if self._client is not None and self._greeted and self._answered.between:
            _write(self._client, self._goaway)
            self._goaway = b""

    def look(self, now_s: float, limits: Limits) -> None:
        """End the connection if a message or a frame of its client comes too slowly."""
        if self._asked.newest is not None:  # it drains, which has a time of its own
            return
        unfinished = self._asked.unfinished
        if unfinished != self._unfinished:
            self._unfinished, self._since_s = unfinished, now_s
        stuck = bool(unfinished) and now_s - self._since_s > limits.request_timeout_s
        if stuck or self._uploads.is_slow(now_s, limits):
            if self._client is not None and self._greeted and self._answered.between:
                _write(self._client, goaway(self._asked.last_stream, CALM, b"a message came too slowly"))
            self.close()

    def pause(self, *, client: bool, paused: bool) -> None:
        """Read no more from one side while the other does not take what was read.

        Args:
            client: Whether it is the client that does not take.
            paused: Whether it does not take, or does again.
        """
        other = self._server if client else self._client
        if other is not None and not other.is_closing():
            (other.pause_reading if paused else other.resume_reading)()

    def close(self) -> None:
        """End both sides, when what was written has been sent."""
        self._links.discard(self)
        for transport in (self._client, self._server):
            if transport is not None:
                transport.close()


class _Client(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.client_came(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._link.asked(data)

    def pause_writing(self) -> None:
        self._link.pause(client=True, paused=True)

    def resume_writing(self) -> None:
        self._link.pause(client=True, paused=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        self._link.close()


class _Server(asyncio.Protocol):
    def __init__(self, link: Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.server_came(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._link.answered(data)

    def pause_writing(self) -> None:
        self._link.pause(client=False, paused=True)

    def resume_writing(self) -> None:
        self._link.pause(client=False, paused=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        self._link.close()


def _write(transport: asyncio.Transport, data: bytes) -> None:
    if data and not transport.is_closing():
        transport.write(data)
