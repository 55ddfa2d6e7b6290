"""Rates: decisions per second, from counters that only grow."""

from collections import deque

RATE_SPAN_S = 30.0
"""Rates are over the last so many seconds."""

Variant = tuple[str, int]
"""Endpoint and version."""


class Rates:
    """Decisions per second, from counters that are looked at now and then.

    Example:
        >>> rates = Rates()
        >>> rates.observe(0.0, {("fraud", 1): 100})
        >>> rates.observe(10.0, {("fraud", 1): 350})
        >>> rates.per_second(("fraud", 1))
        25.0
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[Variant, int]]] = deque()

    def observe(self, now_s: float, counts: dict[Variant, int]) -> None:
        """Note the counters at a moment of the monotonic clock."""
        self._samples.append((now_s, counts))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_SPAN_S:
            self._samples.popleft()

    def per_second(self, variant: Variant) -> float | None:
        """Return the rate between the oldest and the newest look; None before the second one."""
        samples = list(self._samples)
        if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
            return None
        (first_s, first), (last_s, last) = samples[0], samples[-1]
        return max(0, last.get(variant, 0) - first.get(variant, 0)) / (last_s - first_s)
