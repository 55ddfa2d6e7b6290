"""Outlets: where a worker's traces and access lines go, each with its thread, where they are wanted."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from falaj.kernel.clock import Clock
from falaj.kernel.gateway_settings import AccessLogSettings, TracingSettings
from falaj.serving.access_log import AccessLog
from falaj.serving.observer import Observer, Tracing
from falaj.serving.span_export import SpanExport
from falaj.serving.stages import Stages
from falaj.serving.stats import WorkerStats


class Watching(msgspec.Struct, frozen=True):
    """What a worker tells of its requests; nothing by default.

    Attributes:
        tracing: Whether, how many and where requests are traced.
        access_log: Whether and how answers are written down.
        access_path: The access log's file; None for standard error.
        peer_names: Peers whose metrics' names `/metrics` uses as well.
    """

    tracing: TracingSettings = TracingSettings()
    access_log: AccessLogSettings = AccessLogSettings()
    access_path: Path | None = None
    peer_names: frozenset[str] = frozenset()


class Outlets:
    """Opens what is wanted.

    Args:
        watching: What is wanted.
        worker: Which worker this is.
        clock: For what is said now and then.
        base: What a worker of this name had counted before.
    """

    def __init__(self, watching: Watching, worker: str, clock: Clock, base: WorkerStats) -> None:
        self._watching = watching
        self._base = base
        self._clock = clock
        self._export: SpanExport | None = None
        self._access: AccessLog | None = None
        tracing, access = watching.tracing, watching.access_log
        if tracing.enabled and tracing.otlp_url:
            self._export = SpanExport(tracing.otlp_url, worker, clock, tracing.headers)
        if access.enabled:
            size, keep = access.max_mib << 20, access.keep
            self._access = AccessLog(watching.access_path, worker, clock, max_bytes=size, keep=keep)

    def observer(self, stages: Stages, now_us: Callable[[], int]) -> Observer:
        """Return what looks at requests and fills the outlets.

        Args:
            stages: Measures batches.
            now_us: The present instant in microseconds.
        """
        settings = self._watching.tracing
        tracing = Tracing(settings.sample_ratio, self._export) if settings.enabled else None
        ratio = self._watching.access_log.sample_ratio
        return Observer(stages, now_us, self._clock.monotonic, tracing, self._access, ratio)

    def count(self, stats: WorkerStats) -> None:
        """Put what was sent and lost into a worker's counts."""
        if self._export is not None:
            stats.traces_exported = self._base.traces_exported + self._export.exported
            stats.trace_drops = self._base.trace_drops + self._export.dropped
        if self._access is not None:
            stats.access_log_drops = self._base.access_log_drops + self._access.dropped

    def close(self) -> None:
        """Send and write what waits, within some seconds."""
        for outlet in (self._export, self._access):
            if outlet is not None:
                outlet.close()
