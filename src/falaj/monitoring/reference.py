"""Reference: one column's frozen cells, of the kind that its values call for."""

from typing import Any

from falaj.monitoring.categorical_reference import CategoricalReference
from falaj.monitoring.column_values import is_strings
from falaj.monitoring.numeric_reference import MAX_BINS, NumericReference
from falaj.monitoring.text_reference import TextReference, is_text

Reference = NumericReference | CategoricalReference | TextReference


def fit_reference(values: Any, *, seed: int = 0, max_bins: int = MAX_BINS, at: float | None = None) -> Reference:
    """Freeze numeric, categorical or text cells, whichever the values call for.

    Args:
        values: One column, a list, NumPy or Arrow; numbers and booleans make a numeric reference, strings a
            categorical one, or one of texts where most are different and of several words.
        seed: Chooses the halves of a categorical sample.
        max_bins: Most bins of numbers.
        at: A number that a bin must begin at.

    Example:
        >>> type(fit_reference(["AE", None])).__name__, type(fit_reference([True, None])).__name__
        ('CategoricalReference', 'NumericReference')
        >>> type(fit_reference([f"order {n} was late" for n in range(50)])).__name__
        'TextReference'
    """
    if not is_strings(values):
        return NumericReference.fit(values, max_bins=max_bins, at=at)
    return TextReference.fit(values, seed=seed) if is_text(values) else CategoricalReference.fit(values, seed=seed)
