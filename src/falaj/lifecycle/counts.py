"""Counts: what the gateways' counters say of each variant, as the rollout judges it."""

import functools
from collections.abc import Mapping

from falaj.kernel.clock import to_us
from falaj.lifecycle.rates import Variant
from falaj.lifecycle.rooms import Rooms
from falaj.rollout import rollouts
from falaj.rollout.deploy import CANDIDATE
from falaj.rollout.evidence import Counts
from falaj.serving.stats import GatewayStats, Series, read_stats


def count_by_version(stats: GatewayStats) -> dict[Variant, int]:
    """Return the decisions of each endpoint's versions, whatever variant they were."""
    found: dict[Variant, int] = {}
    for series in stats.total.series:
        key = series.endpoint, series.version
        found[key] = found.get(key, 0) + series.requests
    return found


def gateway_stats(rooms: Rooms) -> GatewayStats:
    """Return the counters of all gateway workers."""
    return read_stats(rooms.state.stats, to_us(rooms.clock.now()))


def read_counts(rooms: Rooms, endpoint: str, version: int | None = None) -> Mapping[str, Counts]:
    """Return the candidate's counters of an endpoint; absent where no gateway worker reports any.

    A candidate that nobody has asked has no counters of its own yet: while workers report, that is zero, not unknown.
    What an earlier candidate left is not counted: workers report now and then, and the last errors of a version that
    was aborted would otherwise be charged to the next one.

    Args:
        rooms: The project.
        endpoint: Which.
        version: The candidate; that of the rollout under way by default.
    """
    stats = gateway_stats(rooms)
    if version is None:
        with rooms.db.read() as connection:
            running = rollouts.find(connection, endpoint, "running")
        version = running.candidate.version if running is not None else 0
    found = [
        series
        for series in stats.total.series
        if (series.endpoint, series.variant, series.version, series.role) == (endpoint, CANDIDATE, version, "live")
    ]
    if not found:
        return {CANDIDATE: Counts()} if stats.live else {}
    return {CANDIDATE: functools.reduce(Counts.plus, map(_counts, found))}


def _counts(series: Series) -> Counts:
    over = {float(ms): above for ms, (_, above) in series.thresholds.items()}
    return Counts(series.requests, series.errors, over)
