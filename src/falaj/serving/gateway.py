"""Gateway: one worker process of the data plane, from its configuration to its drain."""

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from falaj.governance.exposure import refuse_exposed
from falaj.kernel.clock import Clock, SystemClock
from falaj.kernel.errors import ExtraMissing, FalajError, StorageError
from falaj.kernel.python_settings import PythonSettings
from falaj.models.python.place import PythonPlace, clear_work
from falaj.models.runtimes import warm_up
from falaj.serving.aged_readers import AgedReaders
from falaj.serving.application import Gateway
from falaj.serving.aside import Aside
from falaj.serving.bare_models import BareModels
from falaj.serving.batching import Batcher
from falaj.serving.blocks import Blocks
from falaj.serving.boundary import contain
from falaj.serving.buckets import FILE as BUCKETS_FILE
from falaj.serving.buckets import Buckets
from falaj.serving.data_plane import DataPlane
from falaj.serving.descriptors import room_for
from falaj.serving.http import HttpServer, Limits
from falaj.serving.intake import Intake
from falaj.serving.late_store import LateStore
from falaj.serving.loading import LoadModel, model_loader
from falaj.serving.model_processes import ModelProcesses
from falaj.serving.native import NativeForm
from falaj.serving.observer import Observer
from falaj.serving.open_inference import OpenInference
from falaj.serving.outlets import Outlets, Watching
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import Predictor
from falaj.serving.redaction import Redaction
from falaj.serving.request_ids import RequestIds
from falaj.serving.rows import Job
from falaj.serving.shadows import Shadows, ShadowThread
from falaj.serving.signals import SHED
from falaj.serving.snapshots import POLL_S, Snapshots
from falaj.serving.stages import Stages
from falaj.serving.stats import SUFFIX, add_counts, read_worker, resume_stats, write_stats
from falaj.serving.variants import Serving
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.eventlog.segments import SegmentWriter
from falaj.storage.keyvalue import KeyValueStore

if TYPE_CHECKING:
    from falaj.serving.grpc.server import GrpcServer

_POLLS_PER_STATS = 2
_LOOK_S = 1.0

_log = logging.getLogger("falaj.serving.gateway")


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker needs to know.

    Attributes:
        worker: Its name, such as "gateway-0"; no two live workers share one.
        blobs: Root of the blob store with the models.
        log: Folder of the prediction log's segments.
        stats: Folder of all workers' counts.
        run: Folder on this machine's own disk, for what its workers share; that of the counts by default.
        host: Address to listen on.
        port: TCP port, shared by all workers.
        grpc_port: TCP port of gRPC, shared by all workers; None for none.
        listen_fd: A listening socket inherited from the supervisor, instead of host and port. Connections then wait
            in it while a worker restarts, and none is lost.
        grpc_listen_fd: The same for gRPC.
        supervisor: The process that started it and without which it drains and ends: nothing would restart or stop it.
        tls_certificate: PEM file with the chain; speaks TLS when given.
        tls_key: PEM file with the key.
        limits: What one connection may ask.
        max_rows: Most rows in one request.
        max_queue_rows: Rows that may wait; above it requests get 503 and Retry-After.
        max_queue_bytes: Bytes of the requests that may wait; above it the same.
        mixed_runtimes: Let a model's runtimes take turns by the size of a batch though they differ in the last digits.
        python: The limits of Python models' processes.
        python_folder: Holds their files and logs; None for the system's temporary folder.
        online_cache_ms: How old a feature may be that is given again without asking the store; None for a store that
            is in this process's own memory.
        fsync_ms: How long the prediction log may keep what a power cut would lose.
        redaction_key: Key of the hashes that stand for redacted fields in the log.
        watching: What it tells of its requests.
        segment_bytes: Size at which a segment of the log is finished.
        first_load_s: How long to wait at the start for what control published.
        ready_grace_s: How long ready says 503 while everything is still accepted, so that load balancers notice.
        drain_s: How long requests in flight may take at the end.
    """

    worker: str
    blobs: Path
    log: Path
    stats: Path
    run: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8600
    grpc_port: int | None = None
    listen_fd: int | None = None
    grpc_listen_fd: int | None = None
    supervisor: int | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    limits: Limits = Limits()
    max_rows: int = 10_000
    max_queue_rows: int = 20_000
    max_queue_bytes: int = 256 << 20
    mixed_runtimes: bool = False
    python: PythonSettings = PythonSettings()
    python_folder: Path | None = None
    online_cache_ms: float | None = None
    fsync_ms: int = 1000
    redaction_key: str = ""
    watching: Watching = Watching()
    segment_bytes: int = 64 << 20
    first_load_s: float = 10.0
    ready_grace_s: float = 0.3
    drain_s: float = 15.0


class GatewayWorker:
    """Everything of one worker, put together.

    Args:
        config: What it needs to know.
        clock: For deadlines and dates.
        now_us: The present instant in microseconds; asked for with every request.
        open_store: Opens the online store for reading.
        load_model: Loads a variant's model.

    Attributes:
        server: Listens.
        grpc: Listens for gRPC; None where it is off.
        snapshots: What serves.
        stats: What it counts.

    Raises:
        ExtraMissing: gRPC is on and not installed.
        Locked: Another worker of that name lives.
        StorageError: The log or the stats folder cannot be written.
    """

    def __init__(
        self, config: GatewayConfig, clock: Clock, now_us: Callable[[], int], open_store: Callable[[], KeyValueStore],
        load_model: LoadModel,
    ) -> None:  # fmt: skip
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, "load-models")
        self._stats_thread = ThreadPoolExecutor(1, "write-stats")
        self._stats_turn = threading.Lock()
        self._stats_written: Future[Exception | None] | None = None
        self._now_us = now_us
        # The log's lock proves that no other worker of this name lives, before its counts are taken over.
        self._log = PredictionLog(
            SegmentWriter(config.log, config.worker, config.segment_bytes, config.fsync_ms), clock
        )
        clear_work(config.python_folder)
        config.stats.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.stats = resume_stats(config.stats, config.worker)
        self._base = msgspec.msgpack.decode(msgspec.msgpack.encode(self.stats), type=type(self.stats))
        self._store = LateStore(open_store)
        run = config.run or config.stats
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._buckets = Buckets(run / BUCKETS_FILE)
        readers = AgedReaders(self._store, config.online_cache_ms, clock.monotonic)
        reader = readers.default
        redaction = Redaction(config.redaction_key, self.stats)
        stages = Stages(clock.monotonic)
        self._processes = ModelProcesses(self._loop, self.stats)
        aside = Aside(self._processes, self.stats, self._loop.call_soon, stages)
        self._predictor = Predictor(reader, self._log, self.stats, clock.monotonic, redaction, stages, readers, aside)
        self._batcher = Batcher(
            self._compute, self._failed, self._loop.call_soon, max_rows=config.max_queue_rows,
            max_bytes=config.max_queue_bytes,
        )  # fmt: skip
        self._shadows = Shadows(
            self._predictor, self.stats, clock.monotonic, self._loop.call_soon, ShadowThread(self._loop)
        )
        self.snapshots = self._make_snapshots(load_model)
        ids = RequestIds()
        intake = Intake(self._batcher, ids, self.stats, config.max_rows)
        self._blocks = Blocks(
            self._log, self.stats, self._predictor, clock.monotonic, self._loop.call_soon, config.max_queue_rows,
            redaction, stages, config.max_queue_bytes, self._processes,
        )  # fmt: skip
        bare = BareModels(self._log, self.stats, ids, clock.monotonic)
        self._plane = DataPlane(self.snapshots, intake, self._blocks, bare, ids, self.write_stats)
        native = NativeForm(self.snapshots, intake, self._log, reader)
        self._outlets = Outlets(config.watching, config.worker, clock, self._base)
        observer = self._outlets.observer(stages, now_us)
        app = Gateway(
            self.snapshots, native, OpenInference(self._plane), self.write_stats, now_us, clock.monotonic, observer,
            config.watching.peer_names,
        )  # fmt: skip
        self.server = HttpServer(app, clock, config.limits)
        self.grpc = None if config.grpc_port is None else self._make_grpc(observer, now_us, clock)
        self._switch = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._polls = 0
        self._late_s, self._due_s = 0.0, self._loop.time()
        self._ended = False

    async def start(self) -> None:
        """Load what was published, then listen.

        A worker that listened first would answer 404 to its share of the connections while the others serve.

        Raises:
            PortInUse: Another program listens there.
            Unavailable: Others reach the address, and no token is known.
        """
        warm_up()  # before anybody is kept waiting
        self._poll()
        try:
            await asyncio.wait_for(self._switch.wait(), self._config.first_load_s)
        except TimeoutError:
            _log.warning("nothing was published yet; ready says so until it is")
        config = self._config
        refuse_exposed(config.host, self.snapshots.guard.tokens, setting="gateway.host")
        if self.grpc is not None and config.grpc_port is not None:
            sock = _inherited(config.grpc_listen_fd)
            await self.grpc.start(config.host, config.grpc_port, sock=sock, tls=_tls(config))
        sock = _inherited(config.listen_fd)
        await self.server.start(config.host, config.port, sock=sock, tls=_tls(config))

    async def stop(self) -> bool:
        """Drain: say so, stop accepting, answer what is in flight, flush the log.

        Returns:
            Whether everything in flight was answered in time.
        """
        self._plane.draining = True
        await asyncio.sleep(self._config.ready_grace_s)
        finished = await self._drain()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)
        self._processes.close()
        await self._loop.run_in_executor(None, self._processes.wait)
        for executor in (self._executor, self._stats_thread):
            await self._loop.run_in_executor(None, executor.shutdown)
        self._log.close()
        await self._loop.run_in_executor(None, self._outlets.close)
        self._ended = True
        contain(self.write_stats)
        self._store.close()
        self._buckets.close()
        return finished

    def shed(self) -> None:
        """Give up the connections above the mean of all workers of this machine, so that a new one gets its share.

        A worker without a surplus accepts none for the moment either, or it could be the one to take what others give.
        """
        mine = len(self.server.connections)
        peers = self._config.stats.glob(f"{self._config.worker.rpartition('-')[0]}-*{SUFFIX}")
        held = [stats.connections for stats in map(read_worker, peers) if stats and stats.is_live(self._now_us())]
        self.server.shed(max(0, mine - math.ceil(sum(held) / max(len(held), 1))))

    async def _drain(self) -> bool:
        within_s = self._config.drain_s
        if self.grpc is None:
            return await self.server.drain(within_s)
        return all(await asyncio.gather(self.server.drain(within_s), self.grpc.drain(within_s)))

    def write_stats(self) -> Path:
        """Write this worker's counts and return the folder of all workers' counts; any thread may."""
        with self._stats_turn:
            stats, base = self.stats, self._base
            stats.written_us = 0 if self._ended else self._now_us()  # at once it counts for no live worker
            stats.connections = len(self.server.connections)
            stats.queue_rows = self._batcher.rows + self._blocks.rows + self._processes.rows
            stats.late_us, self._late_s = int(self._late_s * 1e6), 0.0
            stats.log_records = base.log_records + self._log.written
            stats.log_drops = base.log_drops + self._log.dropped
            self._outlets.count(stats)
            responses = dict(base.responses)
            for status, count in dict(self.server.responses).items():
                responses[str(status)] = responses.get(str(status), 0) + count
            stats.responses = responses
            if self.grpc is not None:
                stats.grpc_responses = dict(base.grpc_responses)
                add_counts(stats.grpc_responses, dict(self.grpc.front.responses))
            try:
                write_stats(stats, self._config.stats)
            except StorageError as error:
                _log.error("counts cannot be written: %s", error)
        return self._config.stats

    def _compute(self, jobs: list[Job]) -> None:
        self._predictor.compute(jobs)
        for job in jobs:
            if job.shadows:
                self._shadows.submit(job)

    def _failed(self, jobs: list[Job], error: Exception) -> None:
        del error  # logged where it was caught
        self.stats.faults += 1
        for job in jobs:
            job.rows[0].error = FalajError("the gateway failed on this request")
            contain(job.finish, job)

    def _make_grpc(self, observer: Observer, now_us: Callable[[], int], clock: Clock) -> "GrpcServer":
        try:
            from falaj.serving.grpc.server import GrpcServer
        except ModuleNotFoundError as error:
            raise ExtraMissing(f"gRPC is not installed: {error}", hint="pip install 'falaj[grpc]'") from None
        limits = self._config.limits
        return GrpcServer(self._plane, self.snapshots, self.stats, limits, observer, now_us, clock.monotonic)

    def _beside(self, work: Callable[[], Serving], done: Callable[[Serving], None]) -> None:
        loading = self._loop.run_in_executor(self._executor, work)
        loading.add_done_callback(lambda future: done(future.result()))

    def _make_snapshots(self, load_model: LoadModel) -> Snapshots:
        thread = ShadowThread(self._loop)

        def shadows_beside(work: Callable[[], Serving], done: Callable[[Serving], None]) -> None:
            loaded: list[Serving] = []

            def hand_over() -> None:
                for serving in loaded:
                    done(serving)

            thread(lambda: loaded.append(work()), hand_over)

        return Snapshots(
            load_model, self._beside, self.stats, self._switched, buckets=self._buckets, shadows_beside=shadows_beside
        )

    def _switched(self) -> None:
        self._processes.keep(self.snapshots.serving.python_runtimes())
        # What was just loaded lives long: without this every full collection would walk all of it, and the slowest
        # answers would be ten times slower.
        gc.collect()
        gc.freeze()
        self._switch.set()

    def _poll(self) -> None:
        now_s = self._loop.time()
        self._late_s = max(self._late_s, now_s - self._due_s)
        self._due_s = now_s + POLL_S
        self._timer = self._loop.call_later(POLL_S, self._poll)
        if self._store.try_open():
            contain(self.snapshots.poll, self._store)
        self._polls += 1
        if self._polls % _POLLS_PER_STATS == 0 and (self._stats_written is None or self._stats_written.done()):
            # Beside the loop: to replace a file takes milliseconds on some file systems, and each request would wait.
            self._stats_written = self._stats_thread.submit(contain, self.write_stats)


def run_worker(config: GatewayConfig, open_store: Callable[[], KeyValueStore]) -> None:
    """Serve until SIGTERM, SIGINT or the end of its supervisor, then drain.

    Args:
        config: What it needs to know.
        open_store: Opens the online store for reading; called until it can.

    Raises:
        PortInUse: Another program listens on the port.
        Locked: Another worker of that name lives.
        StorageError: The log cannot be written.
        Unavailable: Others reach the address, and no token is known.
    """
    most = room_for(config.limits.max_connections, grpc=config.grpc_port is not None)
    limits = msgspec.structs.replace(config.limits, max_connections=most)
    uvloop.run(_serve(msgspec.structs.replace(config, limits=limits), open_store))


async def _serve(config: GatewayConfig, open_store: Callable[[], KeyValueStore]) -> None:
    worker = GatewayWorker(
        config,
        SystemClock(),
        lambda: time.time_ns() // 1000,
        open_store,
        model_loader(
            LocalBlobs(config.blobs),
            PythonPlace(config.python_folder, settings=config.python),
            mixed=config.mixed_runtimes,
        ),
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().add_signal_handler(SHED, worker.shed)
    if not await _started(worker, stop):
        await worker.stop()
        _log.info("%s ended before it listened", config.worker)
        return
    _log.info("%s listens on port %d", config.worker, worker.server.port)
    if worker.grpc is not None:
        _log.info("%s listens for gRPC on port %d", config.worker, worker.grpc.port)
    while not stop.is_set() and config.supervisor in (None, os.getppid()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_S)
    if not stop.is_set():
        _log.error("the supervisor, process %d, is gone: ending", config.supervisor)
    finished = await worker.stop()
    _log.info("%s ended, %s", config.worker, "everything answered" if finished else "some requests were cut off")


async def _started(worker: GatewayWorker, stop: asyncio.Event) -> bool:
    """Start the worker, and return whether it listens: it may be told to stop while it still waits for what to load."""
    starting, stopping = asyncio.ensure_future(worker.start()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    return False


def _inherited(fd: int | None) -> socket.socket | None:
    return None if fd is None else socket.socket(fileno=fd)


def _tls(config: GatewayConfig) -> ssl.SSLContext | None:
    if config.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except OSError as error:
        raise StorageError(f"TLS certificate {config.tls_certificate} cannot be used: {error}") from None
    return context
