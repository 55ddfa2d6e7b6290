"""Shadows: variants that compute what was decided already, behind everything that a caller waits for.

The model runs in a thread of its own and the rows that may wait for it are bounded: a shadow that is slow, raises or
hangs costs the callers nothing but the reading of features that the deciding variant did not read.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from falaj.serving.batching import Later
from falaj.serving.boundary import contain
from falaj.serving.predictor import Monotonic, Predictor
from falaj.serving.rows import Job, Row
from falaj.serving.stats import WorkerStats
from falaj.serving.variants import LoadedVariant

MAX_ROWS = 2_000
"""Rows that may wait for shadows, those under way included; what comes above is dropped and counted."""

BATCH_ROWS = 256
"""Rows taken up at once: their features are read between two turns of the loop."""

Groups = list[tuple[LoadedVariant, list[Row]]]

Aside = Callable[[Callable[[], None], Callable[[], None]], None]
"""Does work where it delays no request, then calls the second function in the event loop."""


class Shadows:
    """Computes shadow rows batch by batch, the next one when the last is done.

    Args:
        predictor: Fetches, scores and logs.
        stats: Counts what is dropped.
        monotonic: Seconds, for latencies.
        later: The loop's `call_soon`.
        aside: Runs the models.
        max_rows: Rows that may wait, those under way included.
    """

    def __init__(
        self, predictor: Predictor, stats: WorkerStats, monotonic: Monotonic, later: Later, aside: Aside,
        max_rows: int = MAX_ROWS,
    ) -> None:  # fmt: skip
        self._predictor = predictor
        self._stats = stats
        self._monotonic = monotonic
        self._later = later
        self._aside = aside
        self._max_rows = max_rows
        self._waiting: deque[tuple[Row, LoadedVariant, Job]] = deque()
        self._rows = 0
        self._busy = False

    def submit(self, job: Job) -> None:
        """Take a decided job's shadow rows, as many as there is room for."""
        room = self._max_rows - self._rows
        taken = job.shadows[:room]
        self._stats.shadow_drops += len(job.shadows) - len(taken)
        self._waiting += [(row, variant, job) for row, variant in taken]
        self._rows += len(taken)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            self._later(self._begin)

    def _begin(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(BATCH_ROWS, len(self._waiting)))]
        began_s = self._monotonic()
        decided = [(_shadow_of(row, variant), job) for row, variant, job in taken]
        groups = _grouped([row for row, _ in decided])
        for variant, rows in groups:
            self._predictor.each(variant, [row for row in rows if not row.features], self._predictor.fetch)

        def work() -> None:
            for variant, rows in groups:
                self._predictor.each(variant, [row for row in rows if row.error is None], self._predictor.infer)

        def done() -> None:
            self._busy = False
            self._rows -= len(decided)
            contain(self._predictor.conclude, decided, groups, int((self._monotonic() - began_s) * 1e6))
            self._go_on()

        self._aside(work, done)


def _grouped(rows: list[Row]) -> Groups:
    groups: dict[int, tuple[LoadedVariant, list[Row]]] = {}
    for row in rows:
        groups.setdefault(id(row.variant), (row.variant, []))[1].append(row)
    return list(groups.values())


def _shadow_of(row: Row, variant: LoadedVariant) -> Row:
    shadow = Row(variant, row.request_id, row.client_id, row.unit, row.at_us, row.entities, row.request, row.given)
    live = row.variant
    if row.error is None and not row.defaulted and variant.reads_like(live):
        shadow.features, shadow.statuses, shadow.applied_seq = row.features, row.statuses, row.applied_seq
    return shadow


class ShadowThread:
    """A thread in which shadows compute, or are loaded; begun when the first one is.

    A daemon, so that a model which never returns keeps no worker from ending.

    Args:
        loop: Where what is done is told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Callable[[], None], Callable[[], None]]] = SimpleQueue()
        self._begun = False

    def __call__(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        """Do the work, then call `done` in the loop."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name="shadows", daemon=True).start()
        self._queue.put((work, done))

    def _run(self) -> None:
        while True:
            work, done = self._queue.get()
            contain(work)
            try:
                self._loop.call_soon_threadsafe(done)
            except RuntimeError:  # the loop has closed: the worker has ended
                return
            del work, done  # or what it did last would hold its models until there is more to do
