"""Values of the operation on freshness."""

import msgspec


class FreshnessQuery(msgspec.Struct, frozen=True):
    """Ask how far the online views are behind their sources."""


class ViewFreshness(msgspec.Struct, frozen=True):
    """How fresh one online view is.

    Attributes:
        view: Its name.
        definition: The first twelve characters of its definition's digest; a version that serves may pin an older one.
        source: Its source.
        applied_seq: All rows up to this number are in it.
        lag_rows: Numbers that the source has given out since.
        lag_s: How long ago the first row arrived that it does not show yet; 0 when it shows all.
        newest_event_age_s: How long ago the newest event in it happened; None when it has none.
        backfilling: Whether it is still behind the live views of its source.
        events: Pushed events that became visible in it since the process began.
        p50_ms: The delay from an event's arrival to the next read that half of them did not exceed.
        p99_ms: And 99 of 100; None without events.
        buckets: Events per delay bucket, see `falaj.features.freshness.BOUNDS_MS`.
        delay_total_s: The sum of all delays.
        unreachable: Why the online store does not say how far the view is; then the numbers are those of its last
            answer. Empty when it does.
        old: Whether the applied definition is another one by now; this one is kept for the versions that pin it.
    """

    view: str
    definition: str
    source: str
    applied_seq: int
    lag_rows: int
    lag_s: float
    newest_event_age_s: float | None
    backfilling: bool
    events: int
    p50_ms: float | None
    p99_ms: float | None
    buckets: list[int]
    delay_total_s: float
    unreachable: str = ""
    old: bool = False
