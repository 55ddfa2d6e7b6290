"""Batching: what arrives within one turn of the event loop is computed together, with no added wait."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from falaj.serving.boundary import contain

Item = TypeVar("Item")

Later = Callable[[Callable[[], None]], object]
"""Runs a function at the end of the loop's turn, as `loop.call_soon` does."""


class Batcher(Generic[Item]):
    """Collects items until the loop's turn ends, then computes them.

    A timer would only add waiting: under load a turn brings 20 to 50 requests by itself.

    Args:
        compute: Answers all items of a batch.
        failed: Answers what a fault of `compute` left unanswered.
        later: The loop's `call_soon`.
        max_rows: Rows that may wait; the limit counts rows, because one request may bring thousands.
        max_bytes: Bytes that may wait, because a row may be large.
        batch_rows: A batch stops growing here, so that the loop gets to read and to answer in between.

    Example:
        >>> turn = []
        >>> batcher = Batcher(print, lambda items, error: None, turn.append, max_rows=3, batch_rows=2)
        >>> [batcher.submit(item, 1) for item in "abcd"]
        [True, True, True, False]
        >>> turn.pop()(); turn.pop()()
        ['a', 'b']
        ['c']
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], None],
        failed: Callable[[list[Item], Exception], None],
        later: Later,
        *,
        max_rows: int,
        max_bytes: int = 1 << 40,
        batch_rows: int = 512,
    ) -> None:
        self._compute = compute
        self._failed = failed
        self._later = later
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._batch_rows = batch_rows
        self._waiting: deque[tuple[Item, int, int]] = deque()
        self._scheduled = False
        self.rows = 0
        self.size_bytes = 0

    def submit(self, item: Item, rows: int, size_bytes: int = 0) -> bool:
        """Take an item for the next batch.

        Args:
            item: What `compute` gets.
            rows: How many rows it is.
            size_bytes: What it holds in memory.

        Returns:
            Whether there was room. One item is always taken when nothing waits, however large it is.
        """
        waiting_rows, waiting_bytes = self.rows + rows, self.size_bytes + size_bytes
        if (waiting_rows > self._max_rows or waiting_bytes > self._max_bytes) and self._waiting:
            return False
        self._waiting.append((item, rows, size_bytes))
        self.rows, self.size_bytes = waiting_rows, waiting_bytes
        if not self._scheduled:
            self._scheduled = True
            self._later(self._flush)
        return True

    def _flush(self) -> None:
        waiting = self._waiting
        if self.rows <= self._batch_rows:
            batch = [item for item, _, _ in waiting]
            waiting.clear()
            self.rows = self.size_bytes = 0
        else:
            batch = self._take()
        self._scheduled = bool(waiting)
        if self._scheduled:
            self._later(self._flush)
        error = contain(self._compute, batch)
        if error is not None:
            self._failed(batch, error)

    def _take(self) -> list[Item]:
        batch: list[Item] = []
        taken = 0
        while self._waiting and (not batch or taken + self._waiting[0][1] <= self._batch_rows):
            item, rows, size_bytes = self._waiting.popleft()
            batch.append(item)
            taken += rows
            self.size_bytes -= size_bytes
        self.rows -= taken
        return batch
