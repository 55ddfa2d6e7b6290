"""Scaling: how many gateway workers there should be, by what requests wait and take.

Processor time does not tell: batches grow with load, so twice the requests are far from twice the work.
"""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import msgspec

from falaj.serving.stats import BOUNDS_US, SUFFIX, read_worker

EVERY_S = 1.0
"""Between two looks."""

_LOOKS_TO_GROW = 3
_SETTLE_S = 5.0
_SLOW_SHARE = 0.05
_FEWEST = 20
_ROWS_WAITING = 256
_LONGEST = 16


class Load(msgspec.Struct, frozen=True):
    """What the workers of one gateway counted.

    Attributes:
        decisions: Since they began.
        slow: Those that took longer than wanted.
        waiting_rows: Rows that wait now, per worker.
        late_ms: How late the event loop of the worker that is worst off came to what was due.
        live: How many of them wrote lately.
    """

    decisions: int = 0
    slow: int = 0
    waiting_rows: float = 0.0
    late_ms: float = 0.0
    live: int = 0


def read_load(folder: Path, workers: Iterable[str], target_ms: float, now_us: int) -> Load:
    """Sum up what workers wrote last; one that wrote nothing lately adds only to the counts.

    Args:
        folder: Where they write.
        workers: Their names.
        target_ms: What is slow.
        now_us: The present instant in microseconds.
    """
    first_slow = bisect_left(BOUNDS_US, target_ms * 1000) + 1
    decisions = slow = rows = live = late_us = 0
    for worker in workers:
        stats = read_worker(folder / f"{worker}{SUFFIX}")
        if stats is None:
            continue  # it starts
        for series in stats.series:
            if series.role == "live":
                decisions += series.requests
                slow += sum(series.buckets[first_slow:])
        if stats.is_live(now_us):
            live, rows, late_us = live + 1, rows + stats.queue_rows, max(late_us, stats.late_us)
    return Load(decisions, slow, rows / max(live, 1), late_us / 1000, live)


class Scaling:
    """Adds a worker soon after decisions become slow, and ends one long after they were quick.

    Args:
        least: Fewest workers.
        most: Most workers.
        target_ms: Decisions should not take, nor wait for, longer.
        shrink_s: How long they must have been quick before a worker is ended. Doubled each time that one had to be
            added again soon afterwards, so that a load between two sizes does not start and end workers for ever.

    Example:
        >>> scaling = Scaling(1, 4, target_ms=5.0, shrink_s=60.0)
        >>> slow = [Load(decisions=1000 * look, slow=500 * look) for look in range(5)]
        >>> [scaling.wanted(float(look), 1, load) for look, load in enumerate(slow)]
        [1, 1, 1, 2, 1]
    """

    def __init__(self, least: int, most: int, *, target_ms: float, shrink_s: float) -> None:
        self.least = least
        self.most = most
        self._target_ms = target_ms
        self._shrink_s = shrink_s
        self._patience = 1
        self._before: Load | None = None
        self._pressed = 0
        self._quick_since: float | None = None
        self._grown_at = self._shrunk_at = float("-inf")

    @property
    def fixed(self) -> bool:
        """Whether the number never changes."""
        return self.least == self.most

    def wanted(self, now_s: float, running: int, load: Load) -> int:
        """Return how many workers there should be.

        Args:
            now_s: Monotonic seconds.
            running: How many there are.
            load: What they counted up to now; looked at about every second.
        """
        before, self._before = self._before or load, load
        decisions, slow = load.decisions - before.decisions, load.slow - before.slow
        if decisions < 0:  # a worker went with its counts
            return running
        busy = decisions >= _FEWEST
        late = busy and (slow > _SLOW_SHARE * decisions or load.late_ms > self._target_ms)
        pressed = late or load.waiting_rows > _ROWS_WAITING
        quick = not pressed and slow == 0 and load.late_ms < max(self._target_ms / 2, 1.0)
        self._pressed = self._pressed + 1 if pressed else 0
        self._quick_since = (self._quick_since or now_s) if quick else None
        if self._pressed >= _LOOKS_TO_GROW and now_s - self._grown_at > _SETTLE_S and running < self.most:
            return self._grow(now_s, running)
        if running > self.least and self._may_shrink(now_s):
            return self._shrink(now_s, running)
        return min(max(running, self.least), self.most)

    def _grow(self, now_s: float, running: int) -> int:
        if now_s - self._shrunk_at < 2 * self._shrink_s:
            self._patience = min(self._patience * 2, _LONGEST)
        self._pressed, self._quick_since, self._grown_at = 0, None, now_s
        return min(self.most, running + max(1, running // 2))

    def _may_shrink(self, now_s: float) -> bool:
        since = self._quick_since
        return since is not None and now_s - since >= self._shrink_s * self._patience

    def _shrink(self, now_s: float, running: int) -> int:
        if now_s - self._shrunk_at > 4 * self._shrink_s * self._patience:
            self._patience = max(1, self._patience // 2)
        self._quick_since, self._shrunk_at = None, now_s
        return running - 1
