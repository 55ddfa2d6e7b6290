"""Estimated quality: right where a score still means what it meant, marked as estimated, and blind where it is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from falaj.monitoring.calibration import isotonic
from falaj.monitoring.estimated import KIND, Estimated, estimate
from falaj.monitoring.metrics import auc
from falaj.monitoring.numeric_reference import NumericReference
from falaj.monitoring.references import SCORE, fit_references

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
THRESHOLD = 0.4


def world(size: int, rng: np.random.Generator, hardness: float = 1.0) -> tuple[Scores, Labels]:
    """Scores that are not calibrated: the true probability is the square of the score."""
    scores = rng.beta(1.0 * hardness, 2.0 * hardness, size)
    return scores, rng.random(size) < scores**2


def estimated(test: tuple[Scores, Labels], window: Scores) -> Estimated:
    references = fit_references({SCORE: test[0]}, outcomes=test[1], threshold=THRESHOLD)
    cells = references.columns[SCORE]
    assert isinstance(cells, NumericReference)
    assert references.calibration is not None
    assert cells.count([THRESHOLD])[1:-3][references.calibration.chosen].sum() == 1
    return estimate(references.calibration, cells.count(window))


def realised(scores: Scores, labels: Labels) -> dict[str, float]:
    chosen = scores >= np.float32(THRESHOLD)
    return {
        "precision": float(labels[chosen].mean()),
        "recall": float(chosen[labels].mean()),
        "auc": auc(labels, scores).value,
        "positive_share": float(labels.mean()),
    }


@pytest.mark.parametrize("hardness", [0.6, 1.0, 2.0])
def test_intervals_hold_what_outcomes_show_later(hardness: float) -> None:
    """Also where the traffic became easier or harder than the test rows; of 4 x 60 some 5 % may be missed."""
    rng, held, widths = np.random.default_rng(51), [], []
    for _ in range(60):
        scores, labels = world(1000, rng, hardness)
        found = estimated(world(4000, rng), scores)
        for name, value in realised(scores, labels).items():
            one = found.metrics[name]
            held.append(one.lower <= value <= one.upper)
            widths.append(one.upper - one.lower)
    assert np.mean(held) >= 0.90
    assert max(widths) < 0.25


def test_harder_traffic_lowers_the_estimate_before_any_outcome_is_known() -> None:
    rng = np.random.default_rng(52)
    test = world(20_000, rng)
    easy, hard = (estimated(test, world(5000, rng, hardness)[0]).metrics["auc"] for hardness in (0.5, 3.0))
    assert hard.upper < easy.lower


def test_trap_a_world_that_changed_its_meaning_is_not_seen() -> None:
    """The same scores with other outcomes give the same estimate: it must never be taken for the realised figure."""
    rng = np.random.default_rng(53)
    scores, labels = world(5000, rng)
    found = estimated(world(20_000, rng), scores)
    inverted = realised(scores, ~labels)
    assert found.outcome == "PASS"
    assert found.metrics["auc"].lower > 0.7 > 0.5 > inverted["auc"]


def test_it_says_estimated_and_is_never_a_failure() -> None:
    rng = np.random.default_rng(54)
    test = world(4000, rng)
    found = estimated(test, world(1000, rng)[0])
    verdict = found.to_verdict("fraud", 7, "fraud/1")
    assert (verdict.kind, verdict.outcome, verdict.evidence["method"]) == (KIND, "PASS", "CBPE")
    assert verdict.reason == "estimated by CBPE from 1000 scores, without outcomes"
    assert estimated(test, test[0][:50]).reason == "not estimated: 50 scores; 100 are needed"
    beyond = np.where(np.arange(1000) < 100, 1.5, 0.3)
    assert estimated(test, beyond).outcome == "INCONCLUSIVE"
    few = estimated((test[0], np.arange(4000) < 5), test[0])
    assert few.reason == "not estimated: the test rows have 5 of one class; 20 are needed"
    assert estimated(test, np.array([])).metrics == {}


def test_isotonic_pools_what_falls_and_fills_what_is_empty() -> None:
    found = isotonic(np.array([0.0, 2.0, 1.0, 0.0, 4.0]), np.array([2.0, 4.0, 4.0, 0.0, 4.0]))
    assert found.tolist() == [0.0, 0.375, 0.375, 0.375, 1.0]
