"""Rounds: contenders take turns at the same work, and the median of each counts."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Work = Callable[[], float | None]
"""Does the work once. Returns seconds where it measured them itself, otherwise None."""


class Rounds:
    """What contenders needed, in seconds.

    Args:
        seconds: By contender, one figure per round.
    """

    def __init__(self, seconds: Mapping[str, list[float]]) -> None:
        self.seconds = seconds

    def median(self, name: str) -> float:
        """Return a contender's median, in seconds."""
        return statistics.median(self.seconds[name])

    def best(self, *names: str) -> str:
        """Return which of several contenders has the least median."""
        return min(names, key=self.median)


def measure(work: Mapping[str, Work], rounds: int) -> Rounds:
    """Let contenders take turns, and print what each needed.

    One turn of each comes first and is not counted: files are in the page cache then, and libraries are loaded.

    Args:
        work: By contender's name.
        rounds: How many turns count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, run in work.items():
            gc.collect()
            began = time.perf_counter()
            said = run()
            took = time.perf_counter() - began if said is None else said
            if turn:
                seconds[name].append(took)
    width = max(map(len, work))
    for name, found in seconds.items():
        low, middle, high = min(found), statistics.median(found), max(found)
        print(f"  {name:<{width}}  {middle:8.3f} s  (range {low:.3f} to {high:.3f})", flush=True)
    return Rounds(seconds)


def print_ratio(name: str, value: float, target: str, form: str = ".2f") -> None:
    """Print a figure that others may read, and its target before it."""
    print(f"  target: {name} {target}")
    print(f"ratio: {name} {value:{form}}", flush=True)


def print_missing(name: str, why: str) -> None:
    """Say that a figure was not measured."""
    print(f"not measured: {name}: {why}", flush=True)


def discard(_: Any) -> None:
    """Take a result and let it go, so that work given as a lambda returns nothing."""
