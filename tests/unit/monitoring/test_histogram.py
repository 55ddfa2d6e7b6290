"""Histograms: every value falls into exactly one frozen cell, and counts add and subtract exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.kernel.errors import InputError
from falaj.monitoring.categorical_reference import CategoricalReference
from falaj.monitoring.histogram import add, subtract, unpack
from falaj.monitoring.numeric_reference import MAX_BINS, NumericReference
from falaj.monitoring.reference import fit_reference

numbers = st.one_of(st.none(), st.floats(), st.integers(-(10**400), 10**400), st.booleans())
texts = st.one_of(st.none(), st.text(max_size=3), st.just(float("nan")), st.integers(0, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(numbers), st.lists(numbers), st.integers(1, 8))
def test_every_number_is_counted_once(sample: list[object], later: list[object], bins: int) -> None:
    reference = NumericReference.fit(np.array(sample, dtype=object), max_bins=bins)
    assert sum(reference.counts) == len(sample)
    assert len(reference.edges) <= bins
    assert list(reference.edges) == sorted(set(reference.edges))
    assert reference.counts[0] == sum(1 for v in sample if v is not None and float_of(v) == -np.inf)
    counts = reference.count(np.array(later, dtype=object))
    assert counts.sum() == len(later)
    assert counts[-1] == sum(value is None for value in later)
    assert len(counts) == len(reference.cells) == len(reference.counts)


def float_of(value: object) -> float:
    with np.errstate(over="ignore"):
        try:
            return float(np.float32(float(value)))  # type: ignore[arg-type]
        except OverflowError:
            return float(np.inf if value > 0 else -np.inf)  # type: ignore[operator]


@settings(max_examples=100, deadline=None)
@given(st.lists(texts, max_size=60), st.lists(texts, max_size=60), st.integers(1, 3), st.integers(0, 3))
def test_every_category_is_counted_once(sample: list[object], later: list[object], named: int, others: int) -> None:
    reference = CategoricalReference.fit(np.array(sample, dtype=object), max_named=named, max_others=others)
    assert sum(reference.counts) == len(sample) // 2
    counts = reference.count(np.array(later, dtype=object))
    assert counts.sum() == len(later)
    assert len(counts) == len(reference.cells) == len(reference.counts)


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers), st.lists(numbers))
def test_counts_of_two_workers_are_counts_of_both(one: list[object], two: list[object]) -> None:
    reference = NumericReference.fit(np.arange(1000))
    parts = [reference.count(np.array(values, dtype=object)) for values in (one, two)]
    both = reference.count(np.array(one + two, dtype=object))
    assert (add(parts) == both).all()
    assert (subtract(both, parts[0]) == parts[1]).all()


def test_bins_of_a_continuous_column_hold_equal_shares() -> None:
    reference = NumericReference.fit(np.random.default_rng(0).normal(size=25_600))
    assert len(reference.edges) == MAX_BINS
    assert set(reference.counts[1:-3]) == {100}


def test_a_common_value_gets_a_bin_of_its_own() -> None:
    rng = np.random.default_rng(0)
    reference = NumericReference.fit(np.where(rng.random(10_000) < 0.4, 0.0, rng.normal(size=10_000)))
    cell = reference.edges.index(0.0) + 1
    alone = reference.count(np.zeros(1))
    assert alone[cell] == 1
    assert reference.count(np.array([1e-4]))[cell] == 0
    assert reference.counts[cell] == reference.count(np.zeros(4000)).max() or reference.counts[cell] > 3800


def test_constant_and_empty_columns() -> None:
    constant = NumericReference.fit([5.0, 5.0])
    assert constant.count([4.9, 5.0, 5.1]).tolist() == [1, 1, 1, 0, 0]
    empty = NumericReference.fit([])
    assert empty.count([1.0, -1.0, None]).sum() == 3
    assert NumericReference.fit([None, float("nan")]).counts == (0, 0, 1, 1)
    assert CategoricalReference.fit([]).count(["a"]).tolist() == [0, 1, 0]


def test_float32_at_serving_falls_into_the_cell_of_float64_in_training() -> None:
    values = np.round(np.random.default_rng(1).random(500), 2)
    reference = NumericReference.fit(values)
    assert (reference.count(values.astype(np.float32)) == np.array(reference.counts)).all()


def test_a_number_that_is_no_number_is_nan_and_infinity_is_outside() -> None:
    reference = NumericReference.fit([1.0, 2.0])
    assert reference.count(np.array(["x", float("inf"), float("-inf"), 1e300], dtype=object)).tolist() == [
        1,
        0,
        0,
        2,
        1,
        0,
    ]


def test_equal_categories_of_different_types_are_one() -> None:
    reference = CategoricalReference.fit([3, 3.0, "3", np.float64(3), True, "true"] * 10)
    assert set(reference.names) == {"3", "true"}


def test_a_long_tail_counts_as_other_or_unseen() -> None:
    reference = CategoricalReference.fit([f"c{n % 50}" for n in range(5000)], max_named=10)
    assert len(reference.others) == 40 * 8
    assert reference.count([f"c{n}" for n in range(50)] + ["new", None]).tolist()[-3:] == [40, 1, 1]


def test_an_identifier_column_has_no_unseen() -> None:
    reference = CategoricalReference.fit([f"id{n}" for n in range(5000)])
    assert reference.open
    assert reference.others == b""
    assert reference.count(["new"]).tolist()[-3:] == [1, 0, 0]


def test_fit_is_repeatable() -> None:
    values = ["a", "b", None] * 100
    assert fit_reference(values) == fit_reference(values)


def test_counts_of_other_cells_are_refused() -> None:
    reference = NumericReference.fit([1.0])
    assert unpack([0, 2, 0, 0, 0], reference.counts).tolist() == [0, 2, 0, 0, 0]
    with pytest.raises(InputError, match="do not fit"):
        unpack([1], reference.counts)
    with pytest.raises(InputError, match="different cells"):
        add([np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.int64)])
    with pytest.raises(InputError, match="no or different"):
        add([])
    with pytest.raises(InputError, match="not contained"):
        subtract(np.array([1]), np.array([2]))
