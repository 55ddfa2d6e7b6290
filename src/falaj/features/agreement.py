"""Agreement: is a value what the events say, as far as floats and sketches can say it?"""

import math
from collections.abc import Sequence
from typing import Any

from falaj.definitions.aggregation import ARITHMETIC
from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.history import magnitude
from falaj.features.naive import Event, feature_value, visible

TOLERANCE = 1e-9
"""Of the sum of a window's absolute values; of their squares for a variance."""
HLL_ERROR = 3 * 1.04 / 64
"""Three standard errors of a HyperLogLog sketch of 4,096 registers."""
KLL_ERROR = 2 * 0.0133
"""Twice the rank error that a KLL sketch of k = 200 keeps in 99 of 100 cases."""


def agrees(view: ViewSpec, feature: FeatureSpec, value: Any, events: Sequence[Event], at_us: int) -> bool:
    """Return whether a value is what the events say at T.

    Args:
        view: The view.
        feature: One of its features.
        value: What was computed.
        events: The entity's events, one version each, in total order.
        at_us: T, in microseconds.
    """
    expected = feature_value(view, feature, events, at_us)
    if same(value, expected, slack(view, feature, events, at_us)):
        return True
    if feature.sketch is None or value is None or expected is None:
        return False
    if feature.function == "count_distinct":
        return bool(abs(value - expected) <= max(1.0, HLL_ERROR * expected))
    known = [float(v) for v in _values(view, feature, events, at_us)]  # as the sketch takes them
    below, upto = sum(v < value for v in known), sum(v <= value for v in known)
    assert feature.q is not None
    room = KLL_ERROR * len(known) + 1
    return bool(below - room <= feature.q * len(known) <= upto + room)


def slack(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> float:
    """Return how far two floats may be apart; 0 for what must be the same."""
    if feature.dtype != "float64" or feature.function not in ARITHMETIC:
        return 0.0
    values = _values(view, feature, events, at_us)
    return TOLERANCE * magnitude([v * v for v in values] if feature.function == "var" else values)


def same(served: Any, expected: Any, tolerance: float) -> bool:
    """Return whether two values are the same, floats up to a tolerance."""
    if expected is None or served is None:
        return served is expected
    if isinstance(served, list) and isinstance(expected, list):
        return len(served) == len(expected) and all(
            same(*pair, tolerance) for pair in zip(served, expected, strict=True)
        )
    if isinstance(served, float) and isinstance(expected, float):
        if math.isnan(served) or math.isnan(expected):
            return math.isnan(served) and math.isnan(expected)
        return served == expected or abs(served - expected) <= tolerance
    return bool(served == expected)


def _values(view: ViewSpec, feature: FeatureSpec, events: Sequence[Event], at_us: int) -> list[Any]:
    column = feature.column or ""
    return [v for e in visible(view, feature, events, at_us) if (v := e.values[column]) is not None]
