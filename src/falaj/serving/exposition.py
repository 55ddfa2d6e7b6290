"""Exposition: the sum of all workers as Prometheus text, written by hand because it is a hundred lines."""

from collections.abc import Iterable, Iterator, Sequence

from falaj.serving.stats import BATCH_BOUNDS, BOUNDS_US, GatewayStats, Series, WorkerStats

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]

_WORKER_COUNTERS = (
    ("log_records", "falaj_log_records_total", "Decisions and outcomes appended to the prediction log."),
    ("log_drops", "falaj_log_drops_total", "Decisions and outcomes lost because the disk was full or broken."),
    ("log_unsampled", "falaj_log_unsampled_total", "Decisions without a record, as their endpoint's policy says."),
    ("traces_exported", "falaj_traces_exported_total", "Traces that a collector has taken."),
    ("trace_drops", "falaj_trace_drops_total", "Traces lost: too many waited, or the collector did not take them."),
    ("access_log_drops", "falaj_access_log_drops_total", "Lines of the access log lost."),
    ("rejected", "falaj_rejected_requests_total", "Requests refused because too many rows waited."),
    ("shadow_drops", "falaj_shadow_drops_total", "Rows that shadow variants left out because they were behind."),
    ("rate_limited", "falaj_rate_limited_requests_total", "Requests refused by the limit of a token or a tenant."),
    ("late", "falaj_late_rows_total", "Rows not computed because their deadline passed while they waited."),
    ("cache_hits", "falaj_response_cache_hits_total", "Decisions answered again from the cache."),
    ("cache_misses", "falaj_response_cache_misses_total", "Decisions of cached endpoints that asked the model."),
    ("store_failures", "falaj_feature_store_failures_total", "Batches for which the feature store failed."),
    ("load_failures", "falaj_load_failures_total", "Routing tables, token lists or models that could not be loaded."),
    ("faults", "falaj_faults_total", "Requests or batches stopped by a fault of the gateway itself."),
    ("python_ends", "falaj_python_ends_total", "Processes of Python models that ended or did not start."),
    (
        "python_timeouts",
        "falaj_python_timeouts_total",
        "Processes of Python models ended since a call took too long.",
    ),
)
_CACHE_FAMILIES = (
    ("counter", "hits", "Look-ups that a cache answered."),
    ("counter", "misses", "Look-ups that it did not."),
    ("counter", "evictions", "Entries that went for lack of room."),
    ("gauge", "size_bytes", "What its entries take now."),
)
_WORKER_GAUGES = (
    ("connections", "falaj_open_connections", "Connections open now."),
    ("queue_rows", "falaj_queue_rows", "Rows waiting now."),
    ("routing_epoch", "falaj_routing_epoch", "The routing epoch that every live worker has adopted."),
)


def render(stats: GatewayStats, more: Iterable[str] = ()) -> bytes:
    """Return the text.

    Args:
        stats: The counts of all workers.
        more: Further lines, such as the same counts under peers' names.

    Example:
        >>> text = render(GatewayStats(WorkerStats(worker="all"), ("gateway-0",), ())).decode()
        >>> text.splitlines()[2]
        'falaj_workers 1'
    """
    total = stats.total
    lines = [
        *family("falaj_workers", "gauge", "Gateway workers alive.", [((), len(stats.live))]),
        *family(
            "falaj_unreadable_stats_files", "gauge", "Workers whose counts are missing.", [((), len(stats.unreadable))]
        ),
        *_predictions(total.series),
        *_worker(total),
        *more,
    ]
    return ("\n".join(lines) + "\n").encode()


def _predictions(series: list[Series]) -> Iterator[str]:
    named = [(s, _labels(s)) for s in series]
    yield from family(
        "falaj_predictions_total", "counter", "Decisions, failed ones included.", [(of, s.requests) for s, of in named]
    )
    yield from family(
        "falaj_prediction_errors_total",
        "counter",
        "Decisions that failed by a fault on the serving side.",
        [(of, s.errors) for s, of in named],
    )
    yield from family(
        "falaj_predictions_defaulted_total",
        "counter",
        "Decisions made on declared defaults because the feature store failed.",
        [(of, s.defaulted) for s, of in named],
    )
    yield from family(
        "falaj_predictions_over_threshold_total",
        "counter",
        "Decisions slower than a threshold that a rollout watches, since it was named.",
        [((*of, ("threshold_ms", name)), over) for s, of in named for name, (_, over) in s.thresholds.items()],
    )
    yield from family(
        "falaj_feature_status_total",
        "counter",
        "Rows per stored feature and status.",
        [
            ((*of, ("feature", column), ("status", status)), rows)
            for s, of in named
            for column, counts in s.status_counts().items()
            for status, rows in counts.items()
        ],
    )
    yield from head("falaj_prediction_latency_seconds", "histogram", "From receipt to answer.")
    for s, labels in named:
        bounds = [f"{bound / 1e6:g}" for bound in BOUNDS_US]
        yield from histogram("falaj_prediction_latency_seconds", labels, bounds, s.buckets, f"{s.latency_us / 1e6:g}")


def _worker(total: WorkerStats) -> Iterator[str]:
    yield from family(
        "falaj_http_responses_total",
        "counter",
        "Answers per HTTP status.",
        [((("status", status),), count) for status, count in sorted(total.responses.items())],
    )
    if total.grpc_responses:
        yield from family(
            "falaj_grpc_responses_total",
            "counter",
            "Answers per gRPC status code; each message of a stream counts.",
            [((("code", code),), count) for code, count in sorted(total.grpc_responses.items())],
        )
    yield from head("falaj_batch_rows", "histogram", "Rows computed together.")
    yield from histogram("falaj_batch_rows", (), map(str, BATCH_BOUNDS), total.batches, str(total.batch_rows))
    for kind, name, text in _CACHE_FAMILIES:
        samples = [((("cache", cache),), getattr(counts, name)) for cache, counts in sorted(total.caches.items())]
        yield from family(f"falaj_cache_{name}{'_total' if kind == 'counter' else ''}", kind, text, samples)
    for field, name, text in _WORKER_COUNTERS:
        yield from family(name, "counter", text, [((), getattr(total, field))])
    for field, name, text in _WORKER_GAUGES:
        yield from family(name, "gauge", text, [((), getattr(total, field))])


def family(name: str, kind: str, text: str, samples: Sequence[tuple[Labels, float]]) -> Iterator[str]:
    """Give the lines of one metric with a value per set of labels."""
    yield from head(name, kind, text)
    for labels, value in samples:
        yield sample(name, labels, value)


def sample(name: str, labels: Labels, value: float | str) -> str:
    """Return the line of one value."""
    return f"{name}{_braces(labels)} {value}"


def head(name: str, kind: str, text: str) -> Iterator[str]:
    """Give the two lines that say what a metric is."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def histogram(name: str, labels: Labels, bounds: Iterable[str], counts: list[int], total: str) -> Iterator[str]:
    """Give the lines of one histogram: counts per bucket, not summed up yet."""
    seen = 0
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        seen += count
        yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {seen}"
    yield f"{name}_sum{_braces(labels)} {total}"
    yield f"{name}_count{_braces(labels)} {seen}"


def _labels(series: Series) -> Labels:
    return (
        ("endpoint", series.endpoint),
        ("variant", series.variant),
        ("version", str(series.version)),
        ("role", series.role),
    )


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
