"""Stats: what each gateway worker counts, and the sum of all workers."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from falaj.storage.disk import failure

BOUNDS_US: tuple[int, ...] = (
    50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 25_000, 50_000, 100_000,
    250_000, 500_000, 1_000_000, 5_000_000,
)  # fmt: skip
"""Upper bounds of the latency buckets in microseconds; one more bucket takes what is slower."""

BATCH_BOUNDS: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
"""Upper bounds of the batch size buckets in rows; one more bucket takes larger ones."""

EVERY = "*"
"""Stands for all stored features, when they have the same status."""

UNSEEN_VALUE = "UNSEEN_VALUE"
"""A text that training never saw: to the model it is missing."""

SUFFIX = ".msgpack"

LIVE_WITHIN_US = 3_000_000
"""A worker writes five times a second; one that has not for so long is taken for dead."""


class Series(msgspec.Struct, kw_only=True):
    """The counts of one variant of one endpoint.

    Attributes:
        endpoint: The endpoint's name.
        variant: The variant's name.
        version: The model version's number.
        role: "live", "shadow", or "test" for who asked for the variant by name.
        requests: Decisions, failed ones included; a request of ten instances is ten decisions.
        errors: Decisions that failed by a fault of the model, its on-demand code or the gateway; bad input is none.
        defaulted: Decisions made on declared defaults because the feature store failed.
        latency_us: The sum of all latencies.
        buckets: Decisions per latency bucket, see `BOUNDS_US`.
        failed: Those of them that failed, per latency bucket.
        failed_us: The sum of their latencies.
        thresholds: Milliseconds (as text) to the decisions seen since the threshold was named, and those above it.
        columns: The stored feature columns.
        uniform: Status to the number of rows of which every stored feature had that status.
        statuses: For the other rows: `view__feature` to status to the number of rows.
    """

    endpoint: str
    variant: str
    version: int
    role: str = "live"
    requests: int = 0
    errors: int = 0
    defaulted: int = 0
    latency_us: int = 0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_US) + 1))
    failed: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_US) + 1))
    failed_us: int = 0
    thresholds: dict[str, tuple[int, int]] = {}
    columns: list[str] = []
    uniform: dict[str, int] = {}
    statuses: dict[str, dict[str, int]] = {}

    def observe(self, latency_us: int, rows: int = 1, errors: int = 0) -> None:
        """Count decisions that took equally long, because they came in one request.

        Args:
            latency_us: From receipt to answer.
            rows: How many decisions.
            errors: How many of them failed.
        """
        self.requests += rows
        self.latency_us += latency_us * rows
        bucket = bisect_left(BOUNDS_US, latency_us)
        self.buckets[bucket] += rows
        if errors:
            self.errors += errors
            self.failed[bucket] += errors
            self.failed_us += latency_us * errors
        for name, (seen, over) in self.thresholds.items():
            self.thresholds[name] = (seen + rows, over + (rows if latency_us > float(name) * 1000 else 0))

    def watch(self, thresholds_ms: Iterable[float]) -> None:
        """Count exactly, from now on, what is above each of the latencies."""
        for threshold_ms in thresholds_ms:
            self.thresholds.setdefault(f"{threshold_ms:g}", (0, 0))

    def count_statuses(self, statuses: Mapping[str, str], rows: int) -> None:
        """Count the feature statuses that so many rows had.

        Args:
            statuses: Stored feature column to status; `EVERY` alone stands for all of them.
            rows: How many rows.
        """
        for column, status in statuses.items():
            counts = self.uniform if column == EVERY else self.statuses.setdefault(column, {})
            counts[status] = counts.get(status, 0) + rows

    def status_counts(self) -> dict[str, dict[str, int]]:
        """Return, for each stored feature column, the number of rows per status."""
        total = {column: dict(self.uniform) for column in self.columns}
        for column, counts in self.statuses.items():
            add_counts(total.setdefault(column, {}), counts)
        return total

    def over(self, threshold_ms: float) -> tuple[int, int]:
        """Return the decisions seen since the threshold was named, and those of them that took longer."""
        return self.thresholds.get(f"{threshold_ms:g}", (0, 0))

    def quantile_ms(self, quantile: float) -> float | None:
        """Return the latency that the share of decisions does not exceed, to its bucket's upper bound.

        Args:
            quantile: Between 0 and 1.

        Returns:
            Milliseconds; infinity beyond the last bound; None when nothing was counted.

        Example:
            >>> series = Series(endpoint="fraud", variant="champion", version=1)
            >>> series.observe(420, rows=99)
            >>> series.observe(9_000)
            >>> series.quantile_ms(0.5), series.quantile_ms(0.999)
            (0.5, 10.0)
        """
        wanted, seen = quantile * sum(self.buckets), 0
        for bound_us, count in zip((*BOUNDS_US, None), self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return float("inf") if bound_us is None else bound_us / 1000
        return None

    def add(self, other: "Series") -> None:
        """Add another worker's counts of the same variant."""
        self.requests += other.requests
        self.errors += other.errors
        self.defaulted += other.defaulted
        self.latency_us += other.latency_us
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.failed = [a + b for a, b in zip(self.failed, other.failed, strict=True)]
        self.failed_us += other.failed_us
        for name, (seen, over) in other.thresholds.items():
            mine = self.thresholds.get(name, (0, 0))
            self.thresholds[name] = (mine[0] + seen, mine[1] + over)
        self.columns = self.columns or other.columns
        add_counts(self.uniform, other.uniform)
        for column, counts in other.statuses.items():
            add_counts(self.statuses.setdefault(column, {}), counts)


class CacheCounts(msgspec.Struct):
    """What one cache did.

    Attributes:
        hits: Look-ups that it answered.
        misses: Look-ups that it did not.
        evictions: Entries that went for lack of room.
        size_bytes: What its entries take now; a gauge.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    size_bytes: int = 0

    def add(self, other: "CacheCounts") -> None:
        """Add another worker's counts; the size is for `read_stats`, which knows who lives."""
        self.hits += other.hits
        self.misses += other.misses
        self.evictions += other.evictions


class LoadError(msgspec.Struct, frozen=True):
    """An endpoint whose published route a worker could not load.

    Attributes:
        endpoint: Its name.
        reason: Why, as a sentence.
        older: Whether its older route goes on serving.
    """

    endpoint: str
    reason: str
    older: bool


class WorkerStats(msgspec.Struct, kw_only=True):
    """Everything that one worker counts.

    Attributes:
        worker: Its name, unique among all processes that ever wrote to the folder.
        written_us: When this was written.
        series: The counts of each variant.
        responses: HTTP status (as text) to answers.
        caches: What each cache did, by its name.
        grpc_responses: gRPC status code to answers.
        batches: Batches per size, see `BATCH_BOUNDS`.
        batch_rows: Rows in all batches.
        log_records: Decisions and outcomes appended to the prediction log.
        log_drops: Those lost because the disk was full or broken.
        log_unsampled: Decisions that got no record because their endpoint's policy samples.
        traces_exported: Traces that a collector has taken.
        trace_drops: Traces lost because too many waited or the collector did not take them.
        access_log_drops: Lines of the access log lost.
        rejected: Requests refused because too many rows waited.
        shadow_drops: Rows that shadow variants left out because they were behind.
        rate_limited: Requests refused because their token or its tenant had reached its limit.
        late: Rows not computed because their request's deadline passed while they waited.
        cache_hits: Decisions for which the model's answer to the same features was given again.
        cache_misses: Decisions of endpoints with a cache for which the model was asked.
        store_failures: Batches for which the feature store failed.
        load_failures: Attempts to load a routing table, a token list or a model that failed.
        faults: Batches and requests stopped by a fault of the gateway itself.
        python_ends: Times that the process of a Python model ended or did not start.
        python_timeouts: Times that such a process was ended because a call took too long.
        routing_epoch: Of the routing table in force; a gauge.
        tokens_epoch: Of the publication whose tokens are in force; a gauge.
        connections: Open now; a gauge.
        queue_rows: Rows waiting now; a gauge.
        load_errors: The endpoints that cannot be loaded now; a gauge.
        late_us: How late the event loop came to its timer, at worst since the counts were written before: so long waits
            what has arrived and is not read yet; a gauge.
    """

    worker: str
    written_us: int = 0
    series: list[Series] = []
    responses: dict[str, int] = {}
    caches: dict[str, CacheCounts] = {}
    grpc_responses: dict[str, int] = {}
    batches: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BATCH_BOUNDS) + 1))
    batch_rows: int = 0
    log_records: int = 0
    log_drops: int = 0
    log_unsampled: int = 0
    traces_exported: int = 0
    trace_drops: int = 0
    access_log_drops: int = 0
    rejected: int = 0
    shadow_drops: int = 0
    rate_limited: int = 0
    late: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    store_failures: int = 0
    load_failures: int = 0
    faults: int = 0
    python_ends: int = 0
    python_timeouts: int = 0
    routing_epoch: int = 0
    tokens_epoch: int = 0
    connections: int = 0
    queue_rows: int = 0
    load_errors: list[LoadError] = []
    late_us: int = 0

    def find(self, endpoint: str, variant: str, version: int, role: str = "live") -> Series:
        """Return the counts of a variant, begun at zero if there are none."""
        for series in self.series:
            if (series.endpoint, series.variant, series.version, series.role) == (endpoint, variant, version, role):
                return series
        series = Series(endpoint=endpoint, variant=variant, version=version, role=role)
        self.series.append(series)
        return series

    def count_batch(self, rows: int) -> None:
        """Count a batch of so many rows."""
        self.batches[bisect_left(BATCH_BOUNDS, rows)] += 1
        self.batch_rows += rows

    def is_live(self, now_us: int) -> bool:
        """Return whether its worker wrote lately."""
        return now_us - self.written_us < LIVE_WITHIN_US

    def count_response(self, status: int) -> None:
        """Count an answer."""
        key = str(status)
        self.responses[key] = self.responses.get(key, 0) + 1

    def add(self, other: "WorkerStats") -> None:
        """Add another worker's counts; gauges are for `read_stats`, which knows who lives."""
        for series in other.series:
            self.find(series.endpoint, series.variant, series.version, series.role).add(series)
        for name, counts in other.caches.items():
            self.caches.setdefault(name, CacheCounts()).add(counts)
        add_counts(self.responses, other.responses)
        add_counts(self.grpc_responses, other.grpc_responses)
        self.batches = [a + b for a, b in zip(self.batches, other.batches, strict=True)]
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_COUNTERS = (
    "batch_rows", "log_records", "log_drops", "log_unsampled", "traces_exported", "trace_drops", "access_log_drops",
    "rejected", "shadow_drops", "rate_limited", "late", "cache_hits", "cache_misses", "store_failures",
    "load_failures", "faults", "python_ends", "python_timeouts",
)  # fmt: skip


def add_counts(total: dict[str, int], counts: Mapping[str, int]) -> None:
    """Add counts to those of the same names."""
    for key, count in counts.items():
        total[key] = total.get(key, 0) + count


class GatewayStats(msgspec.Struct, frozen=True):
    """All workers together.

    Attributes:
        total: The sum over all workers, dead ones included, so that no count ever falls. Its connections and waiting
            rows are those of live workers; its routing epoch is the lowest of theirs: what every worker has adopted.
        live: Names of the workers that wrote lately.
        unreadable: Files that could not be read; their counts are missing from the sum.
        load_errors: By endpoint, the errors of those live workers that cannot load its route.
    """

    total: WorkerStats
    live: tuple[str, ...]
    unreadable: tuple[str, ...]
    load_errors: dict[str, list[LoadError]] = {}

    def load_error(self, endpoint: str) -> str:
        """Return how many workers cannot load an endpoint's route and why, as a sentence; empty where all can."""
        errors = self.load_errors.get(endpoint, [])
        if not errors:
            return ""
        worst = min(errors, key=lambda error: error.older)
        then = "its older version goes on serving" if worst.older else "it is answered with 503 there"
        many = f"{len(errors)} of {len(self.live)} gateway workers cannot load it"
        return f"{many}, and {then}: {worst.reason}"

    def variants(self, endpoint: str) -> dict[str, Series]:
        """Return the counts of an endpoint's live variants by name, all versions that bore the name together."""
        found: dict[str, Series] = {}
        for series in self.total.series:
            if series.endpoint == endpoint and series.role == "live":
                empty = Series(endpoint=endpoint, variant=series.variant, version=series.version)
                found.setdefault(series.variant, empty).add(series)
        return found


def write_stats(stats: WorkerStats, folder: Path) -> None:
    """Write a worker's counts to its file, which readers see whole or as it was.

    Raises:
        StorageError: The file cannot be written.
    """
    path = folder / f"{stats.worker}{SUFFIX}"
    part = folder / f"{stats.worker}.part"
    try:
        part.write_bytes(msgspec.msgpack.encode(stats))
        part.replace(path)
    except OSError as error:
        raise failure(error, f"cannot write {path}") from error


def read_worker(path: Path) -> WorkerStats | None:
    """Return what a worker wrote last; None where it cannot be read, such as one of another release."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=WorkerStats)
    except (OSError, ValueError):
        return None


def resume_stats(folder: Path, worker: str) -> WorkerStats:
    """Return the counts that a worker of this name left, to count on from them; none of them ever falls.

    Args:
        folder: Where workers write.
        worker: The name; the caller has made sure that no other process of this name lives.
    """
    try:
        left = msgspec.msgpack.decode((folder / f"{worker}{SUFFIX}").read_bytes(), type=WorkerStats)
        stats = WorkerStats(worker=worker)
        stats.add(left)
    except (OSError, ValueError):
        return WorkerStats(worker=worker)
    return stats


def read_stats(folder: Path, now_us: int) -> GatewayStats:
    """Sum the counts of all workers.

    Args:
        folder: Where the workers write; it may not exist yet.
        now_us: The present instant in microseconds; tells who lives.
    """
    total = WorkerStats(worker="all", written_us=now_us)
    live: list[WorkerStats] = []
    unreadable: list[str] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            stats = msgspec.msgpack.decode(path.read_bytes(), type=WorkerStats)
            total.add(stats)
        except (OSError, ValueError):  # a file of another release has other buckets: zip refuses it
            unreadable.append(path.name)
            continue
        if stats.is_live(now_us):
            live.append(stats)
    total.connections = sum(stats.connections for stats in live)
    total.queue_rows = sum(stats.queue_rows for stats in live)
    total.late_us = max((stats.late_us for stats in live), default=0)
    for name, counts in total.caches.items():
        counts.size_bytes = sum(stats.caches[name].size_bytes for stats in live if name in stats.caches)
    total.routing_epoch = min((stats.routing_epoch for stats in live), default=0)
    total.tokens_epoch = min((stats.tokens_epoch for stats in live), default=0)
    errors: dict[str, list[LoadError]] = {}
    for stats in live:
        for error in stats.load_errors:
            errors.setdefault(error.endpoint, []).append(error)
    return GatewayStats(total, tuple(stats.worker for stats in live), tuple(unreadable), errors)
