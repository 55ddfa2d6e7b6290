"""GrpcServer: listens beside the HTTP server of a worker, on the same loop and the same data plane, and drains."""

import platform
import secrets
import socket
import ssl
from collections.abc import Callable

import grpc

from falaj.serving.data_plane import DataPlane
from falaj.serving.descriptors import connections_within
from falaj.serving.grpc.front import Front
from falaj.serving.grpc.health_service import HealthService
from falaj.serving.grpc.inference_service import InferenceService
from falaj.serving.grpc.messages import HEALTH, INFERENCE, REFLECTION, REFLECTION_ALPHA, Messages
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.grpc.reflection_service import ReflectionService
from falaj.serving.grpc.relay import Connect, Relay
from falaj.serving.http import Limits
from falaj.serving.observer import Observer
from falaj.serving.snapshots import Snapshots
from falaj.serving.stats import WorkerStats

MAX_STREAMS = 1_000
MAX_WATCHERS = 100
MAX_CALLS = 4_096
"""Calls of one worker that may be under way; further ones get RESOURCE_EXHAUSTED."""


class GrpcServer:
    """Serves the data plane over gRPC.

    Args:
        plane: What answers.
        snapshots: Who may ask.
        stats: Counts faults.
        limits: What one connection may ask.
        observer: Times, traces and logs those calls that are to be.
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.

    Attributes:
        front: Counts answers.
        port: Where it listens; 0 before.
    """

    def __init__(
        self, plane: DataPlane, snapshots: Snapshots, stats: WorkerStats, limits: Limits, observer: Observer,
        now_us: Callable[[], int], monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self.front = Front(snapshots, stats, observer, now_us, monotonic)
        self.port = 0
        self._streams = OpenStreams(MAX_STREAMS)
        self._watchers = OpenStreams(MAX_WATCHERS)
        messages, idle_s = Messages(), limits.idle_timeout_s
        handlers = {
            INFERENCE: InferenceService(plane, messages, self.front, self._streams, idle_s).handlers(),
            HEALTH: HealthService(plane, messages, self.front, self._watchers).handlers(),
        }
        for name in (REFLECTION, REFLECTION_ALPHA):
            package = name.rpartition(".")[0]
            handlers[name] = ReflectionService(package, messages, self.front, self._streams, idle_s).handlers()
        self._server = grpc.aio.server(
            handlers=[grpc.method_handlers_generic_handler(name, methods) for name, methods in handlers.items()],
            options=_options(limits),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        self._relay = Relay(_own_address(self._server), limits, connections_within(limits.max_connections))

    async def start(
        self, host: str, port: int, *, sock: socket.socket | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen.

        Args:
            host: Address to listen on.
            port: TCP port, shared with other workers; 0 lets the system choose.
            sock: A listening socket made by someone else, instead of host and port.
            tls: Speak TLS.

        Raises:
            PortInUse: Another program listens there.
            StorageError: The address cannot be used.
        """
        await self._server.start()
        self.port = await self._relay.start(host, port, sock=sock, tls=tls)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._relay.links)

    async def drain(self, timeout_s: float) -> bool:
        """Send clients elsewhere, finish what they have asked, and end the streams.

        Args:
            timeout_s: How long to wait for it.

        Returns:
            Whether all of it was answered in time.
        """
        self._relay.begin_drain()
        self._streams.close()
        self._watchers.close()
        finished = await self._relay.wait_closed(timeout_s)
        await self._server.stop(None)
        self._relay.close()
        return finished


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),  # our own answers, which the rows of a request bound
        ("grpc.max_metadata_size", limits.max_head_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_head_bytes),
        ("grpc.max_concurrent_streams", MAX_CALLS),
        ("grpc.max_connection_idle_ms", int(limits.idle_timeout_s * 1000)),
        ("grpc.server_handshake_timeout_ms", int(limits.request_timeout_s * 1000)),
    ]


def _own_address(server: grpc.aio.Server) -> Connect:
    """Let gRPC's own server listen where only this machine reaches it, and return how.

    Its guard asks for tokens there too. Linux has names that need no file, which a killed process would leave behind.
    """
    if platform.system() == "Linux":
        name = f"falaj-grpc-{secrets.token_hex(16)}"
        server.add_insecure_port(f"unix-abstract:{name}")
        return lambda: _connected(socket.AF_UNIX, f"\0{name}")
    port = server.add_insecure_port("127.0.0.1:0")
    return lambda: _connected(socket.AF_INET, ("127.0.0.1", port))


def _connected(family: socket.AddressFamily, address: str | tuple[str, int]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.connect(address)  # within this machine it does not wait
    except OSError:
        opened.close()
        raise
    opened.settimeout(0)
    return opened
