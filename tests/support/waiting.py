"""Waiting for another process: look again until it is so, or fail and say what never came."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], what: str, *, within_s: float = 30.0, every_s: float = 0.05) -> T:
    """Return the first true value of `look`.

    Raises:
        AssertionError: None came within the time; the message says what was waited for and what was seen last.
    """
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s, last seen {seen!r}")
        time.sleep(every_s)
