"""GrpcServer: listens beside the HTTP server of a worker, on the same loop and the same data plane, and drains."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc

from falaj.kernel.errors import PortInUse, StorageError
from falaj.serving.data_plane import DataPlane
from falaj.serving.grpc.front import Front
from falaj.serving.grpc.health_service import HealthService
from falaj.serving.grpc.inference_service import InferenceService
from falaj.serving.grpc.messages import HEALTH, INFERENCE, REFLECTION, REFLECTION_ALPHA, Messages
from falaj.serving.grpc.open_streams import OpenStreams
from falaj.serving.grpc.reflection_service import ReflectionService
from falaj.serving.http import Limits
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
        now_us: The present instant in microseconds.
        monotonic: Seconds, for latencies.

    Attributes:
        front: Counts answers.
        port: Where it listens; 0 before.
    """

    def __init__(
        self, plane: DataPlane, snapshots: Snapshots, stats: WorkerStats, limits: Limits, now_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        self.front = Front(snapshots, stats, now_us, monotonic)
        self.port = 0
        self._streams = OpenStreams(MAX_STREAMS)
        self._watchers = OpenStreams(MAX_WATCHERS)
        messages = Messages()
        handlers = {
            INFERENCE: InferenceService(plane, messages, self.front, self._streams).handlers(),
            HEALTH: HealthService(plane, messages, self.front, self._watchers).handlers(),
        }
        for name in (REFLECTION, REFLECTION_ALPHA):
            package = name.rpartition(".")[0]
            handlers[name] = ReflectionService(package, messages, self.front, self._streams).handlers()
        self._server = grpc.aio.server(
            handlers=[grpc.method_handlers_generic_handler(name, methods) for name, methods in handlers.items()],
            options=_options(limits),
            maximum_concurrent_rpcs=MAX_CALLS,
        )

    async def start(self, host: str, port: int, *, certificate: Path | None = None, key: Path | None = None) -> None:
        """Listen.

        Args:
            host: Address to listen on.
            port: TCP port, shared with other workers; 0 lets the system choose.
            certificate: PEM file with the chain; speaks TLS when given.
            key: PEM file with the key.

        Raises:
            PortInUse: Another program listens there, or the address is not one of this machine.
            StorageError: The certificate cannot be used.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if certificate is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(certificate, key or certificate))
        except RuntimeError:
            raise PortInUse(
                f"gRPC cannot listen on {address}", hint="stop the program that does, or set gateway.grpc_port"
            ) from None
        await self._server.start()

    async def drain(self, timeout_s: float) -> bool:
        """Accept no more connections, finish what is in flight, and end the streams.

        Args:
            timeout_s: How long to wait for it.

        Returns:
            Whether all of it was answered in time.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        stopping = asyncio.ensure_future(self._server.stop(timeout_s))
        await asyncio.sleep(0)  # clients are told to go elsewhere before their streams end
        self._streams.close()
        self._watchers.close()
        await stopping
        return loop.time() - began_s < timeout_s


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.max_body_bytes),
        ("grpc.max_send_message_length", -1),  # our own answers, which the rows of a request bound
        ("grpc.max_metadata_size", limits.max_head_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_head_bytes),
        ("grpc.max_concurrent_streams", MAX_CALLS),
        ("grpc.max_connection_idle_ms", int(limits.idle_timeout_s * 1000)),
        ("grpc.server_handshake_timeout_ms", int(limits.request_timeout_s * 1000)),
    ]


def _credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    try:
        return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    except OSError as error:
        raise StorageError(f"TLS certificate {certificate} cannot be used: {error}") from None
