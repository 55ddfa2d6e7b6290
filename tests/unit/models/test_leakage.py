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
    assert [one.outcome for one in judge_leaks(let_off, findings)] == [Outcome.PASS, Outcome.PASS]


def test_texts_are_scored_by_their_codes() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 200, 4_000)
    labels = (codes % 2 == 0).astype(np.int64)  # no bin of neighbouring codes would see it
    rows = codes.astype(np.float32)[:, None]
    half = slice(0, 2_000), slice(2_000, None)
    parts = [(rows[part], labels[part]) for part in half]
    (found,) = measure_alone(["city"], parts[0], parts[1], categorical=["city"], seed=0)
    assert found.auc is not None and found.auc > 0.99
