"""Leakage: what one feature alone knows of the label, and instants that are later than their event."""

import numpy as np
import pytest

from falaj.definitions.gate import no_leak
from falaj.models.findings import Findings
from falaj.models.gate_report import Outcome
from falaj.models.judgement.leaks import judge_label, judge_leaks
from falaj.models.leakage import Alone, Leaks, count_late, measure_alone
from falaj.models.parts import Part
from falaj.models.runtimes.port import Matrix

WHOLE = Part(1_000, 100)
NAMES = ("noise", "leak", "middle", "gone", "copy")


def planted(seed: int, count: int = 2_000) -> tuple[Matrix, np.ndarray]:
    """Noise, a noisy copy of the label, one that is odd in the middle, one that is missing for positives, the label."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.1).astype(np.int64)
    gone = np.where((labels == 1) & (rng.random(count) < 0.98), np.nan, rng.random(count))
    middle = np.where(labels == 1, rng.normal(0, 0.01, count), rng.normal(0, 5, count))
    columns = [rng.random(count), labels + rng.normal(0, 0.1, count), middle, gone, 7.0 * labels]
    return np.column_stack(columns).astype(np.float32), labels


FOUND = {one.feature: one for one in measure_alone(NAMES, planted(1), planted(2), seed=0)}


def leaks(*without: str) -> Leaks:
    return Leaks(tuple(one for name, one in FOUND.items() if name not in without))


@pytest.mark.parametrize(("name", "least"), [("leak", 0.99), ("middle", 0.97), ("gone", 0.97), ("copy", 1.0)])
def test_a_planted_leak_is_found_whichever_way_it_knows(name: str, least: float) -> None:
    auc, low = FOUND[name].auc, FOUND[name].low
    assert auc is not None and auc >= least
    assert low is not None and low > 0.95


def test_noise_knows_nothing_and_has_no_interval() -> None:
    auc = FOUND["noise"].auc
    assert auc is not None and 0.4 < auc < 0.6 and FOUND["noise"].low is None


def test_only_the_label_itself_is_the_label() -> None:
    assert [name for name, one in FOUND.items() if one.is_label] == ["copy"]
    copied = judge_label(Findings(WHOLE, leaks=leaks()))
    assert copied.outcome is Outcome.FAIL and "copy" in copied.reason and copied.implicit
    assert judge_label(Findings(WHOLE, leaks=leaks("copy"))).outcome is Outcome.PASS
    assert judge_label(Findings(WHOLE)).outcome is Outcome.FAIL


def test_the_gate_fails_by_the_interval_and_lets_off_what_is_allowed() -> None:
    findings = Findings(WHOLE, leaks=leaks("copy"))
    assert next(judge_leaks(no_leak(auc=0.95), findings)).outcome is Outcome.FAIL
    allowed = no_leak(auc=0.95, allow=["leak", "middle", "gone"])
    assert next(judge_leaks(allowed, findings)).outcome is Outcome.PASS
    near = Leaks((Alone("a", 0.985, 0.97, 0.995),))
    assert next(judge_leaks(no_leak(), Findings(WHOLE, leaks=near))).outcome is Outcome.INCONCLUSIVE
    assert next(judge_leaks(no_leak(), Findings(Part(50, 5), leaks=near))).outcome is Outcome.INCONCLUSIVE
    assert next(judge_leaks(no_leak(), Findings(WHOLE))).outcome is Outcome.FAIL


def test_an_instant_after_its_event_fails_and_an_unknown_one_does_not() -> None:
    unknown = np.iinfo(np.int64).min
    late = count_late({"a__at": np.array([11, 9]), "b__at": np.array([unknown, 10])}, np.array([10, 10]))
    assert late == {"a__at": 1}
    findings = Findings(WHOLE, leaks=Leaks((Alone("x", 0.6),), late))
    assert [one.outcome for one in judge_leaks(no_leak(), findings)] == [Outcome.PASS, Outcome.FAIL]
    let_off = no_leak(allow=["a:at"])
    assert [one.outcome for one in judge_leaks(let_off, findings)] == [Outcome.PASS, Outcome.SKIPPED]


@pytest.mark.parametrize(
    ("instants", "outcome", "reason"),
    [
        (None, Outcome.SKIPPED, "the rows have no time"),
        ((), Outcome.SKIPPED, "no feature is an instant"),
        (("a__at",), Outcome.PASS, "a__at"),
    ],
)
def test_where_no_instant_was_held_against_its_event_nothing_passes(
    instants: tuple[str, ...] | None, outcome: Outcome, reason: str
) -> None:
    found = list(judge_leaks(no_leak(), Findings(WHOLE, leaks=Leaks((Alone("x", 0.6),), instants=instants))))[-1]
    assert found.outcome is outcome and reason in found.reason


@pytest.mark.parametrize(
    ("late", "compared", "unknown", "outcome", "reason"),
    [
        (0.0, 0, 0, Outcome.INCONCLUSIVE, "nothing was computed again"),
        (0.0, 1, 0, Outcome.INCONCLUSIVE, "381 such rows are needed"),
        (0.0, 380, 0, Outcome.INCONCLUSIVE, "up to 1.0%"),
        (0.0, 381, 0, Outcome.PASS, "none is another value in 381 rows"),
        (0.0, 381, 1, Outcome.FAIL, "in 1 of 381 rows"),
        (0.05, 60, 0, Outcome.INCONCLUSIVE, "73 such rows are needed"),
        (0.05, 73, 0, Outcome.PASS, "none"),
        (0.05, 500, 15, Outcome.PASS, "3.0%"),
        (0.05, 100, 5, Outcome.INCONCLUSIVE, "5.0%"),
        (0.05, 100, 30, Outcome.FAIL, "30.0%"),
    ],
)
def test_a_few_rows_that_were_computed_again_are_no_proof(
    late: float, compared: int, unknown: int, outcome: Outcome, reason: str
) -> None:
    leaks = Leaks((Alone("x", 0.6),), {}, compared, {"a__n": unknown} if unknown else {}, ())
    found = list(judge_leaks(no_leak(late=late), Findings(WHOLE, leaks=leaks)))[1]
    assert found.outcome is outcome and reason in found.reason


def test_texts_are_scored_by_their_codes() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 200, 4_000)
    labels = (codes % 2 == 0).astype(np.int64)  # no bin of neighbouring codes would see it
    rows = codes.astype(np.float32)[:, None]
    half = slice(0, 2_000), slice(2_000, None)
    parts = [(rows[part], labels[part]) for part in half]
    (found,) = measure_alone(["city"], parts[0], parts[1], categorical=["city"], seed=0)
    assert found.auc is not None and found.auc > 0.99
