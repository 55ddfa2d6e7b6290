"""Stages: how long the batch that is being answered took for each step; measured only while somebody asks."""

from collections.abc import Callable
from typing import NamedTuple


class Left(NamedTuple):
    """Where a batch stands that was left: when it began, its laps, and the end of the last."""

    begun_s: float
    laps: list[tuple[str, float, float]]
    last_s: float


class Stages:
    """Laps of one batch.

    The steps of a batch are taken for all its requests together, so each of them waited for all of a lap.

    Args:
        monotonic: Seconds.

    Attributes:
        asked: Requests under way that want to know. While it is 0 a batch reads no clock for this.
        running: Whether a batch is being measured.
        begun_s: When it began.
        laps: Name, begin and end of each lap, in seconds of the monotonic clock.

    Example:
        >>> times = iter([10.0, 10.5, 10.75])
        >>> stages = Stages(lambda: next(times))
        >>> stages.begin(); stages.lap("features"); stages.lap("model")
        >>> stages.laps
        [('features', 10.0, 10.5), ('model', 10.5, 10.75)]
    """

    __slots__ = ("_last_s", "_monotonic", "asked", "begun_s", "laps", "running")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last_s = 0.0
        self.asked = 0
        self.running = False
        self.begun_s = 0.0
        self.laps: list[tuple[str, float, float]] = []

    def begin(self) -> None:
        """Start to measure a batch."""
        self.running = True
        self.laps = []
        self.begun_s = self._last_s = self._monotonic()

    def leave(self) -> "Left":
        """Return where a batch stands whose rest is done in a later turn."""
        return Left(self.begun_s, list(self.laps), self._last_s)

    def resume(self, left: "Left") -> None:
        """Go on to measure a batch from where it was left; call `end` as after `begin`."""
        self.running = True
        self.begun_s, self._last_s = left.begun_s, left.last_s
        self.laps = list(left.laps)

    def lap(self, name: str) -> None:
        """Note that a step is done."""
        now_s = self._monotonic()
        self.laps.append((name, self._last_s, now_s))
        self._last_s = now_s

    def end(self) -> None:
        """Stop: what is answered from now on belongs to no batch."""
        self.running = False
