"""Freshness: how long pushed events took from their arrival to the next online read, per view."""

from collections.abc import Iterable

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.service_spec import ViewSpec
from falaj.features.rows import INGESTED_AT

BOUNDS_MS: tuple[int, ...] = (
    1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000,
)  # fmt: skip
"""Upper bounds of the delay buckets in milliseconds; one more bucket takes what is slower."""

_FILE, _STREAM = "_file", "stream"


class Delays(msgspec.Struct):
    """The delays of one view's pushed events since the process began.

    Attributes:
        buckets: Events per bucket, see `BOUNDS_MS`.
        total_us: The sum of all delays.
    """

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    total_us: int = 0

    @property
    def events(self) -> int:
        """How many events were counted."""
        return sum(self.buckets)

    def quantile_ms(self, quantile: float) -> float | None:
        """Return the delay that the share of events does not exceed, to its bucket's upper bound.

        Args:
            quantile: Between 0 and 1.

        Returns:
            Milliseconds; infinity beyond the last bound; None when nothing was counted.

        Example:
            >>> delays = Delays()
            >>> delays.add(np.array([1_500, 1_600, 44_000]))
            >>> delays.quantile_ms(0.5), delays.quantile_ms(0.99)
            (2.0, 50.0)
        """
        wanted, seen = quantile * self.events, 0
        for bound_ms, count in zip((*BOUNDS_MS, None), self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return float("inf") if bound_ms is None else float(bound_ms)
        return None

    def add(self, delays_us: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Count delays, in microseconds, int64 of shape (events,)."""
        places = np.searchsorted(np.array(BOUNDS_MS) * 1000, delays_us, "left")
        counts = np.bincount(places, minlength=len(self.buckets)).tolist()
        self.buckets = [a + b for a, b in zip(self.buckets, counts, strict=True)]
        self.total_us += int(delays_us.sum())


class Freshness:
    """The delays of every live view, by the view's digest."""

    def __init__(self) -> None:
        self._delays: dict[str, Delays] = {}

    def of(self, view: ViewSpec) -> Delays:
        """Return the delays of a view, none at first."""
        return self._delays.get(view.digest) or Delays()

    def observe(self, views: Iterable[ViewSpec], table: pa.Table, now_us: int) -> None:
        """Count the pushed events of rows that have just become visible.

        What came from files is not counted: nobody waited for it. A clock that was set back meanwhile makes a delay
        of zero, not a negative one.

        Args:
            views: The views that show them now.
            table: The rows.
            now_us: The present instant.
        """
        if not {_FILE, INGESTED_AT} <= set(table.column_names):
            return
        pushed = table.filter(pc.equal(table[_FILE], _STREAM)) if table.num_rows else table
        if not pushed.num_rows:
            return
        delays_us = np.maximum(now_us - pushed[INGESTED_AT].cast(pa.int64()).to_numpy(), 0)
        for view in views:
            self._delays.setdefault(view.digest, Delays()).add(delays_us)

    def keep(self, digests: set[str]) -> None:
        """Forget the views that are no longer in force."""
        self._delays = {digest: delays for digest, delays in self._delays.items() if digest in digests}
