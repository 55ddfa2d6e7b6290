"""Pairs: a change of how two columns go together is found where neither histogram shows it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from falaj.monitoring.drift import DriftVerdict, judge
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.references import References, fit_references
from falaj.monitoring.together import LEVELS, MAX_COLUMNS, Together

POLICY = DriftPolicy(persistence=1)
RNG = np.random.default_rng(21)


def rows(size: int, correlation: float, mean: float = 0.0) -> dict[str, NDArray[np.float64]]:
    """Two normal columns that go together, and one that does not."""
    one, other, third = RNG.normal(size=(3, size))
    second = correlation * one + np.sqrt(1 - correlation**2) * other
    return {"a": one + mean, "b": second + mean, "c": third}


def judged(references: References, columns: dict[str, NDArray[np.float64]]) -> DriftVerdict:
    return judge(references, [references.count(columns)], POLICY)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.7), (0.8, 0.0), (0.6, -0.6)])
def test_a_pair_that_goes_together_otherwise_is_named(before: float, after: float) -> None:
    verdict = judged(fit_references(rows(5000, before)), rows(1000, after))
    assert verdict.drifted == ("how a and b go together",)
    assert verdict.reason == "how a and b go together drifted from the version's test rows"


def test_columns_that_moved_each_by_itself_tell_that_themselves() -> None:
    verdict = judged(fit_references(rows(5000, 0.0)), rows(1000, 0.0, mean=0.7))
    assert verdict.drifted == ("a", "b")


def test_the_same_pairs_are_quiet() -> None:
    assert judged(fit_references(rows(5000, 0.8)), rows(1000, 0.8)).outcome == "NO_DRIFT"


def test_values_that_go_missing_together_are_found() -> None:
    def with_gaps(size: int, *, both: bool) -> dict[str, NDArray[np.float64]]:
        found = rows(size, 0.0)
        gone = RNG.random(size) < 0.3
        found["a"][gone] = np.nan
        found["b"][gone if both else RNG.random(size) < 0.3] = np.nan
        return found

    verdict = judged(fit_references(with_gaps(5000, both=False)), with_gaps(1000, both=True))
    assert verdict.drifted == ("how a and b go together",)


cells = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.sampled_from(["x", "y", "z", None])), min_size=1)


@settings(max_examples=60, deadline=None)
@given(cells, cells)
def test_tables_add_and_their_margins_are_the_rows(one: list[tuple[int, str]], two: list[tuple[int, str]]) -> None:
    def columns(pairs: list[tuple[int, str]]) -> dict[str, object]:
        return {"n": [n for n, _ in pairs], "t": pa.array([t for _, t in pairs], pa.string())}

    references = fit_references(columns(one))
    together = references.together
    assert together is not None
    first, second, both = (together.count(columns(pairs)) for pairs in (one, two, one + two))
    assert (first + second == both).all()
    assert together.counts == tuple(first.tolist())
    table = together.tables(both)[0]
    missing = [sum(pair[place] is None for pair in one + two) for place in (0, 1)]
    assert (int(table.sum()), int(table[-1].sum()), int(table[:, -1].sum())) == (len(one + two), *missing)


def test_without_a_column_the_other_pairs_are_as_they_were() -> None:
    columns = rows(500, 0.5) | {"d": RNG.normal(size=500)}
    whole, less = fit_references(columns).together, fit_references({k: columns[k] for k in "acd"}).together
    assert whole is not None
    assert whole.without(frozenset("b")) == less


def test_so_many_columns_at_most_the_first_ones_named() -> None:
    columns = {f"x{n:02}": RNG.normal(size=50) for n in range(40)}
    found = fit_references(columns, order=sorted(columns, reverse=True)).together
    assert isinstance(found, Together)
    assert (len(found.columns), found.columns[0]) == (MAX_COLUMNS, "x39")
    assert len(found.counts) == MAX_COLUMNS * (MAX_COLUMNS - 1) // 2 * LEVELS**2
