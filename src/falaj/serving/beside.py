"""Beside: a bounded queue and the thread that works it off: the event loop waits for no disk and no network."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from falaj.serving.boundary import contain

Item = TypeVar("Item")


class Beside(Generic[Item]):
    """Hands items to a thread of its own, some at a time.

    One thread offers, which is the loop's; what does not fit is counted and gone.

    Args:
        name: The thread's.
        work: Takes items, and returns how many of them it had to give up. It may look at `stopping` while it waits.
        pause_s: How long items are gathered.
        most: Items at a time.
        size: Items that may wait.

    Attributes:
        done: Items worked off.
        dropped: Items given up, or for which there was no room.
        stopping: Set once nothing more is offered.
    """

    def __init__(
        self, name: str, work: Callable[[list[Item]], int], *, pause_s: float, most: int = 512, size: int = 4096
    ) -> None:
        self._work = work
        self._pause_s = pause_s
        self._most = most
        self._size = size
        self._queue: deque[Item] = deque()
        self._wake = threading.Event()
        self.stopping = threading.Event()
        self.done = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> None:
        """Take an item, or count it as dropped."""
        waiting = len(self._queue)
        if waiting >= self._size:
            self.dropped += 1
            return
        self._queue.append(item)
        if waiting + 1 >= self._most and not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Work off what waits, for so long at most."""
        self.stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self.stopping.is_set() and not self._queue):
            self._wake.wait(self._pause_s)
            self._wake.clear()
            while self._queue:
                items = [self._queue.popleft() for _ in range(min(self._most, len(self._queue)))]
                contain(self._work_off, items)

    def _work_off(self, items: list[Item]) -> None:
        lost = len(items)
        try:
            lost = self._work(items)
        finally:
            self.done += len(items) - lost
            self.dropped += lost
