"""The promise: no drift, no alarm, at the rate that is stated; and a real shift is told soon.

Many seeded streams of 50 columns of every kind, in windows of 100 decisions. A count of false alarms is compared with
what a correct test exceeds with probability below one in a thousand.
"""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import stats

from falaj.monitoring.drift import DriftState, advance
from falaj.monitoring.questions import DriftPolicy, examine
from falaj.monitoring.references import SCORE, References, fit_references
from falaj.monitoring.two_sample import benjamini_hochberg

COLUMNS = 50
WINDOW = 100
MIXING = np.random.default_rng(60).normal(size=(8, COLUMNS))
NAMES = np.array(["a", "b", "c", "d", "e"])
ALPHA = 0.05
BARE = DriftPolicy(alpha=ALPHA, persistence=1, psi_floor=0.0, rate_floor=0.0, min_rows=100)
"""Without floors and persistence, so that the p-values alone are on trial."""


def draw(size: int, rng: np.random.Generator, shift: float = 0.0) -> dict[str, object]:
    """Columns that go together: normal, heavy-tailed, half zero, with gaps, and categories; the first may be moved."""
    mixed = rng.normal(size=(size, 8)) @ MIXING + rng.normal(size=(size, COLUMNS))
    mixed /= np.sqrt((MIXING**2).sum(axis=0) + 1.0)
    mixed[:, 0] += shift
    columns: dict[str, object] = {}
    for number, values in enumerate(mixed.T):
        columns[f"x{number:02}"] = _kind(number % 5, values, rng)
    return columns | {SCORE: rng.beta(1.0, 4.0, size)}


def _kind(kind: int, values: NDArray[np.float64], rng: np.random.Generator) -> object:
    if kind == 1:
        return np.exp(2.0 * values)
    if kind == 2:
        return np.where(values < 0.0, 0.0, np.round(values, 1))
    if kind == 3:
        return np.where(rng.random(values.size) < 0.05, np.nan, values)
    return pa.array(NAMES[np.digitize(values, [-0.5, 0.8, 1.5, 2.2])]) if kind == 4 else values


@pytest.mark.parametrize(("reference_rows", "runs"), [(100, 60), (1000, 100)])
def test_fifty_quiet_columns_in_windows_of_a_hundred(reference_rows: int, runs: int) -> None:
    """Each run has references of its own: under one shared set the runs would not be independent."""
    rng, false_alarms, discoveries = np.random.default_rng(reference_rows), 0, 0
    p_values: dict[str, list[float]] = defaultdict(list)
    for _ in range(runs):
        references = fit_references(draw(reference_rows, rng))
        findings = examine(references, references.count(draw(WINDOW, rng)), BARE)
        false_alarms += any(finding.alarm for finding in findings)
        judged = [finding.p_value for finding in findings if finding.judged]
        discoveries += bool((benjamini_hochberg(np.array(judged)) < ALPHA).any())
        for finding in findings:
            p_values[finding.question].append(finding.p_value)
    assert false_alarms <= stats.binom.isf(1e-3, runs, ALPHA)
    assert discoveries <= stats.binom.isf(1e-3, runs, ALPHA)
    for question, found in p_values.items():
        for level in (0.05, 0.01, 0.001):
            # columns of one run go together, which doubles the spread of their count at the most
            expected, spread = level * len(found), 2.0 * np.sqrt(level * len(found))
            assert (np.array(found) < level).sum() <= expected + 3.3 * spread + 2, (question, level)


def test_with_floors_and_persistence_streams_are_quiet() -> None:
    """As an endpoint is watched by default, but in windows of 100: ten windows each of 25 streams."""
    rng, policy = np.random.default_rng(61), DriftPolicy(min_rows=100)
    quiet = [_windows_until(fit_references(draw(1000, rng)), rng, policy, 0.0) for _ in range(25)]
    assert set(quiet) == {20}


@pytest.mark.parametrize(("shift", "most_windows"), [(1.5, 3), (1.0, 6)])
def test_a_planted_shift_is_told_within_so_many_windows(shift: float, most_windows: int) -> None:
    rng, policy, delays = np.random.default_rng(62), DriftPolicy(min_rows=100), []
    for _ in range(20):
        references = fit_references(draw(2000, rng))
        delays.append(_windows_until(references, rng, policy, shift))
    assert min(delays) >= policy.persistence
    assert np.quantile(delays, 0.9) <= most_windows


def _windows_until(references: References, rng: np.random.Generator, policy: DriftPolicy, shift: float) -> int:
    """Return how many windows it takes until the moved column is told; 20 where it is not."""
    state = DriftState()
    for window in range(1, 20):
        findings = examine(references, references.count(draw(WINDOW, rng, shift)), policy)
        state, verdict = advance(state, findings, policy)
        if "x00" in verdict.drifted:
            return window
    return 20
