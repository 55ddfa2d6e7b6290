"""Peer metrics: the same counts under the names that dashboards of Seldon Core, MLServer and KServe look for.

What they call a request is a decision here, and its latency is that from receipt to answer. Shadows are left out.
"""

from collections.abc import Callable, Container, Iterator

from falaj.serving.exposition import Labels, family, head, histogram, sample
from falaj.serving.stats import BOUNDS_US, Series, WorkerStats

_BOUNDS = [f"{bound / 1e6:g}" for bound in BOUNDS_US]

Key = tuple[str, ...]


def peer_families(total: WorkerStats, peers: Container[str]) -> Iterator[str]:
    """Give the lines of the peers' metrics.

    Args:
        total: The counts of all workers.
        peers: Which: "kserve", "mlserver", "seldon".
    """
    live = [series for series in total.series if series.role == "live"]
    for peer, lines in (("kserve", _kserve), ("mlserver", _mlserver), ("seldon", _seldon)):
        if peer in peers:
            yield from lines(live, total)


def _kserve(live: list[Series], total: WorkerStats) -> Iterator[str]:
    del total
    name = "request_predict_seconds"
    yield from head(name, "histogram", "predict request latency")
    for (model,), series in _merged(live, lambda one: (one.endpoint,)).items():
        yield from histogram(name, (("model_name", model),), _BOUNDS, series.buckets, _seconds(series.latency_us))


def _mlserver(live: list[Series], total: WorkerStats) -> Iterator[str]:
    merged = _merged(live, lambda one: (one.endpoint, str(one.version)))
    named: list[tuple[Labels, Series]] = [
        ((("model", model), ("version", version)), series) for (model, version), series in merged.items()
    ]
    yield from family(
        "model_infer_request_success_total", "counter", "Model infer request success count",
        [(labels, series.requests - series.errors) for labels, series in named],
    )  # fmt: skip
    yield from family(
        "model_infer_request_failure_total", "counter", "Model infer request failure count",
        [(labels, series.errors) for labels, series in named],
    )  # fmt: skip
    duration = "model_infer_request_duration"
    yield from head(duration, "summary", "Model infer request duration")
    for labels, series in named:
        yield sample(f"{duration}_sum", labels, _seconds(series.latency_us))
        yield sample(f"{duration}_count", labels, series.requests)
    yield from family(
        "rest_server_requests_total", "counter", "Total requests",
        [((("app_name", "falaj"), ("status_code", status)), n) for status, n in sorted(total.responses.items())],
    )  # fmt: skip


def _seldon(live: list[Series], total: WorkerStats) -> Iterator[str]:
    del total
    for side, service in (("server", "predictions"), ("client", "/predict")):
        name = f"seldon_api_executor_{side}_requests_seconds"
        yield from head(name, "histogram", f"A histogram of latencies for the executor {side}")
        for one in live:
            answered = [all_ - failed for all_, failed in zip(one.buckets, one.failed, strict=True)]
            for code, counts, spent_us in (
                ("200", answered, one.latency_us - one.failed_us),
                ("500", one.failed, one.failed_us),
            ):
                if code == "200" or any(counts):
                    labels = _seldon_labels(one, code, service, client=side == "client")
                    yield from histogram(name, labels, _BOUNDS, counts, _seconds(spent_us))


def _seldon_labels(series: Series, code: str, service: str, *, client: bool) -> Labels:
    version = str(series.version)
    labels: Labels = (
        ("code", code), ("deployment_name", series.endpoint), ("method", "post"), ("predictor_name", series.variant),
        ("predictor_version", version), ("service", service),
    )  # fmt: skip
    if not client:
        return labels
    return (*labels, ("model_image", "falaj"), ("model_name", series.variant), ("model_version", version))


def _merged(live: list[Series], key_of: Callable[[Series], Key]) -> dict[Key, Series]:
    """Return the series that a peer has under one set of labels, added up."""
    found: dict[Key, Series] = {}
    for one in live:
        empty = Series(endpoint=one.endpoint, variant=one.variant, version=one.version)
        found.setdefault(key_of(one), empty).add(one)
    return found


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:g}"
