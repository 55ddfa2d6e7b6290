"""Model statistics in Triton's form, from what all workers count."""

from collections.abc import Iterable

import msgspec

from falaj.serving.stats import Series

_NS_PER_US = 1_000


class Duration(msgspec.Struct, frozen=True):
    """How often something was done, and the time that it took in all.

    Attributes:
        count: How often.
        ns: Nanoseconds.
    """

    count: int = 0
    ns: int = 0


class InferStatistics(msgspec.Struct, frozen=True):
    """The durations of a version's decisions.

    Only whole requests are timed: those that failed are in the time of `success`, and the parts are zero.

    Attributes:
        success: Decisions that were answered.
        fail: Decisions that failed by a fault on the serving side.
        queue: Not timed.
        compute_input: Not timed.
        compute_infer: Not timed.
        compute_output: Not timed.
        cache_hit: There is no cache.
        cache_miss: There is no cache.
    """

    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()


class VersionStatistics(msgspec.Struct, frozen=True):
    """What one version did since its first worker started.

    Attributes:
        name: The model as it was asked for.
        version: The version.
        last_inference: Not known here: 0.
        inference_count: Decisions: a request of ten rows is ten.
        execution_count: The same: decisions of one batch are not told apart from those of another.
        inference_stats: Their durations.
        batch_stats: Not told: empty.
    """

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: tuple[str, ...] = ()


class ModelStatistics(msgspec.Struct, frozen=True):
    """The statistics of the versions asked for."""

    model_stats: tuple[VersionStatistics, ...]


def statistics_of(asked: str, version: str, series: Iterable[Series]) -> VersionStatistics:
    """Return the statistics of a version from the counts of its variants, live ones only.

    Example:
        >>> one = Series(endpoint="fraud", variant="champion", version=1, requests=3, errors=1, latency_us=20)
        >>> statistics_of("fraud", "1", [one]).inference_stats.success
        Duration(count=2, ns=20000)
    """
    total = Series(endpoint=asked, variant="", version=0)
    for one in series:
        if str(one.version) == version and one.role == "live":
            total.add(one)
    answered = total.requests - total.errors
    done = InferStatistics(Duration(answered, total.latency_us * _NS_PER_US), Duration(total.errors))
    return VersionStatistics(asked, version, 0, answered, answered, done)
