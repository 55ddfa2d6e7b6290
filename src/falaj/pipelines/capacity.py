"""Capacity: what a group of workers on one machine may use at the same time, and what of it is taken."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from falaj.kernel.size import format_size
from falaj.pipelines.graph import Step


class Room(msgspec.Struct, frozen=True):
    """An amount of each resource.

    Attributes:
        cpu: Cores.
        memory_bytes: Memory.
        gpu: Graphics cards.
    """

    cpu: float
    memory_bytes: int
    gpu: int = 0

    def lacks(self, step: Step) -> str:
        """Return what a step needs that is more than this; empty where it fits.

        Example:
            >>> Room(2, 4 << 30).lacks(Step(name="fit", function="m:f", cpu=8, executor="project"))
            '8 cores, of 2'
        """
        needs = []
        if step.cpu > self.cpu:
            needs.append(f"{step.cpu:g} cores, of {self.cpu:g}")
        if (step.memory_bytes or 0) > self.memory_bytes:
            needs.append(f"{format_size(step.memory_bytes or 0)} of memory, of {self.memory_bytes / (1 << 30):.1f}GiB")
        if step.gpu > self.gpu:
            needs.append(f"{step.gpu} graphics cards, of {self.gpu}")
        return "; ".join(needs)


class Capacity:
    """Shared by the workers of one process.

    Args:
        total: All that there is.
    """

    def __init__(self, total: Room) -> None:
        self.total = total
        self._lock = threading.Lock()
        self._cpu = 0.0
        self._memory = 0
        self._cards = set(range(total.gpu))

    @property
    def free(self) -> Room:
        """What is not taken."""
        with self._lock:
            return Room(self.total.cpu - self._cpu, self.total.memory_bytes - self._memory, len(self._cards))

    @contextmanager
    def taken(self, step: Step) -> Iterator[tuple[int, ...]]:
        """Hold what a step needs while it runs, and give the numbers of its graphics cards.

        Two workers may both have found the same room free: then a little more than all is in use for a while, which
        costs time, where making them agree would cost every claim a lock.
        """
        memory = step.memory_bytes or 0
        with self._lock:
            cards = tuple(sorted(self._cards)[: step.gpu])
            self._cards -= set(cards)
            self._cpu += step.cpu
            self._memory += memory
        try:
            yield cards
        finally:
            with self._lock:
                self._cards |= set(cards)
                self._cpu -= step.cpu
                self._memory -= memory
