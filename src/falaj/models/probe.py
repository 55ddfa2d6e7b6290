"""Probe: a candidate's artifact loaded and timed in the runtime that will serve it."""

from collections.abc import Callable
from time import perf_counter_ns

import msgspec
import numpy as np

from falaj.definitions.routing_table import ArtifactRef
from falaj.kernel.errors import FalajError
from falaj.models.artifacts import load_artifact
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.port import Matrix, Runtime
from falaj.storage.blobs import BlobStore

CALLS = 2_000
"""Fewer say little about one call in a hundred."""

_WARM_UP = 100


class Probe(msgspec.Struct, frozen=True):
    """What happened when the artifact was loaded and asked.

    Attributes:
        error: Why it could not be loaded or did not answer; empty when it did.
        calls: How many single rows were scored.
        p50_ms: Median time of one row, in milliseconds.
        p99_ms: The time that 99 of 100 rows stayed within, in milliseconds.
        size_bytes: The artifact's size.
    """

    error: str = ""
    calls: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    size_bytes: int = 0


def probe_artifact(
    blobs: BlobStore,
    artifact: ArtifactRef,
    matrix: Matrix,
    *,
    calls: int = CALLS,
    now_ns: Callable[[], int] = perf_counter_ns,
    place: PythonPlace | None = None,
) -> Probe:
    """Load an artifact as the gateway does, and score rows one at a time.

    Args:
        blobs: Where the artifact is.
        artifact: What to load.
        matrix: Rows to score in turn, float32, (rows, features); at least one.
        calls: How many to time, after a warm-up.
        now_ns: Nanoseconds that never go back.
        place: Where a Python model's process works.

    Returns:
        The finding; a failure to load is a finding too.
    """
    try:
        runtime = load_artifact(blobs, artifact, matrix.shape[1], place)
        times_ms = _time(runtime, matrix, calls, now_ns)
    except FalajError as error:
        return Probe(error=error.message)
    size_bytes = blobs.path(artifact.digest).stat().st_size
    p50_ms, p99_ms = np.quantile(times_ms, (0.5, 0.99)) if calls else (0.0, 0.0)
    return Probe("", calls, float(p50_ms), float(p99_ms), size_bytes)


def _time(runtime: Runtime, matrix: Matrix, calls: int, now_ns: Callable[[], int]) -> list[float]:
    rows = [np.ascontiguousarray(matrix[i : i + 1]) for i in range(min(len(matrix), calls))]
    for i in range(_WARM_UP):
        runtime.predict(rows[i % len(rows)])
    times_ms = []
    for i in range(calls):
        row = rows[i % len(rows)]
        start = now_ns()
        runtime.predict(row)
        times_ms.append((now_ns() - start) / 1e6)
    return times_ms
