"""Counts: what the gateways' counters say of each variant, as the rollout judges it."""

from collections.abc import Mapping

from falaj.kernel.clock import to_us
from falaj.lifecycle.rates import Variant
from falaj.lifecycle.rooms import Rooms
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
    return read_stats(rooms.state.run / "stats", to_us(rooms.clock.now()))


def read_counts(rooms: Rooms, endpoint: str) -> Mapping[str, Counts]:
    """Return each live variant's counters of an endpoint; absent where no gateway worker reports any.

    A candidate that nobody has asked has no counters of its own yet: while workers report, that is zero, not unknown.
    """
    stats = gateway_stats(rooms)
    found = {name: _counts(series) for name, series in stats.variants(endpoint).items()}
    return {CANDIDATE: Counts(), **found} if stats.live else found


def _counts(series: Series) -> Counts:
    over = {float(ms): above for ms, (_, above) in series.thresholds.items()}
    return Counts(series.requests, series.errors, over)
