"""Turns: one thread works at a time, and those that wait leave as soon as another has done their work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from falaj.kernel.clock import Clock


class Turns:
    """Gives turns to threads.

    Args:
        clock: Measures how long to wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._change = threading.Condition()
        self._taken = False

    @contextmanager
    def take(self, *, unless: Callable[[], bool] = lambda: False, within_s: float | None = None) -> Iterator[bool]:
        """Wait for a turn and have it inside the block.

        Args:
            unless: Asked whenever somebody's turn ends: once it holds, no turn is needed.
            within_s: How long to wait; None for ever.

        Yields:
            Whether it is this thread's turn; False when `unless` holds or the time is over.
        """
        mine = self._wait_for_turn(unless, within_s)
        try:
            yield mine
        finally:
            if mine:
                with self._change:
                    self._taken = False
                    self._change.notify_all()

    def wait(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Wait until something holds, which is asked whenever somebody's turn ends; return whether it does."""
        with self._change:
            return self._change.wait_for(holds, max(within_s, 0.0))

    def _wait_for_turn(self, unless: Callable[[], bool], within_s: float | None) -> bool:
        deadline = None if within_s is None else self._clock.monotonic() + within_s
        with self._change:
            while not unless():
                if not self._taken:
                    self._taken = True
                    return True
                left_s = None if deadline is None else deadline - self._clock.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._change.wait(left_s)
            return False
