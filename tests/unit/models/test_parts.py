"""Parts: metrics, intervals and changes on all rows and by slice; how often the intervals hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.gate import at_least, fairness, no_worse_than_production
from falaj.models.bootstrap import bootstrap
from falaj.models.findings import Findings
from falaj.models.gate_report import Outcome
from falaj.models.judgement.metric import judge_change
from falaj.models.metrics import Floats, Scored
from falaj.models.parts import Part, Sides, measure_part, measure_slices, texts_of

COST = Cost(1, 10)


def rows(seed: int, count: int = 500, *, better: float = 1.5, worse: float = 1.5) -> Sides:
    """Scores of two models, each of which sees half of its signal alone."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.3).astype(np.int64)
    shared = rng.normal(size=count)
    candidate, production = ((labels * m + shared + rng.normal(size=count)) / np.sqrt(2) for m in (better, worse))
    return Sides(labels, _probability(candidate), 0.5, _probability(production), 0.5, COST)


def _probability(values: Floats) -> Floats:
    return 1 / (1 + np.exp(1 - values))


def outcome_of(sides: Sides, *, by: float, seed: int = 0) -> Outcome:
    check = no_worse_than_production("auc", by=by)
    findings = Findings(measure_part(sides, seed=seed, names=["auc"]))
    return next(judge_change(check, findings)).outcome


def test_the_same_seed_gives_the_same_part_and_another_another() -> None:
    sides = rows(1)
    assert measure_part(sides, seed=7) == measure_part(sides, seed=7)
    assert measure_part(sides, seed=7).changes != measure_part(sides, seed=8).changes


def test_every_metric_has_an_interval_that_holds_its_value() -> None:
    part = measure_part(rows(2), seed=0)
    assert set(part.metrics) == set(part.intervals) == set(part.changes) == set(part.baseline)
    for name, interval in part.intervals.items():
        value, before = part.metrics[name], part.baseline[name]
        assert value is not None and before is not None
        assert interval.low <= value <= interval.high, name
        assert part.changes[name].low <= value - before <= part.changes[name].high, name
        assert part.relative[name].low <= (value - before) / before <= part.relative[name].high, name


@pytest.mark.parametrize(("error", "outcome"), [(2.4, Outcome.FAIL), (2.0, Outcome.PASS), (1.0, Outcome.PASS)])
def test_a_share_of_what_is_below_zero_has_the_sign_of_the_change(error: float, outcome: Outcome) -> None:
    labels, noise = np.random.default_rng(0).normal(size=(2, 500))
    sides = Sides(labels, labels + error * noise, 0.0, labels + 2.0 * noise, task="regression")
    part = measure_part(sides, seed=0)
    assert (part.baseline["r2"] or 0) < -1
    assert next(judge_change(no_worse_than_production("r2", relative=0.05), Findings(part))).outcome is outcome


def test_cost_is_the_mean_of_what_decisions_cost() -> None:
    sides = rows(3)
    chosen = sides.candidate >= 0.5
    wrong = 1.0 * (chosen & (sides.labels == 0)) + 10.0 * (~chosen & (sides.labels == 1))
    assert measure_part(sides, seed=0).metrics["cost"] == pytest.approx(wrong.mean())


def test_a_pair_is_drawn_together() -> None:
    sides = rows(4)
    apart = [measure_part(Sides(sides.labels, s, 0.5), seed=0).intervals["auc"] for s in (sides.candidate,)]
    same = measure_part(Sides(sides.labels, sides.candidate, 0.5, sides.candidate, 0.5, same=True), seed=0)
    assert (same.changes["auc"].low, same.changes["auc"].high) == (0.0, 0.0)  # of itself nothing is worse
    assert apart[0].high - apart[0].low > 0.02
    alike = measure_part(Sides(sides.labels, sides.candidate, 0.5, sides.candidate - 1e-9, 0.5), seed=0).changes["auc"]
    assert 0 < alike.high - alike.low < apart[0].high - apart[0].low  # of another that agrees here, not for certain


def test_resamples_keep_the_number_of_each_class() -> None:
    labels = np.array([1] * 5 + [0] * 95)

    def sums(weights: Floats) -> dict[str, Floats]:
        return {"ones": weights[:, :5].sum(axis=1), "all": weights.sum(axis=1)}

    drawn = bootstrap(labels, sums, seed=0, resamples=50)
    assert set(drawn["ones"]) == {5.0} and set(drawn["all"]) == {100.0} and len(drawn["all"]) == 50


def test_planted_a_worse_model_fails_a_better_one_passes_and_a_tie_on_few_rows_is_not_decided() -> None:
    assert outcome_of(rows(5, 2_000, better=0.8, worse=2.0), by=0.005) is Outcome.FAIL
    assert outcome_of(rows(6, 2_000, better=2.0, worse=0.8), by=0.005) is Outcome.PASS
    assert outcome_of(rows(7, 300), by=0.005) is Outcome.INCONCLUSIVE


def test_coverage_of_intervals_and_of_changes() -> None:
    """Of 150 intervals of 95 % that each rest on 300 rows, 142 should hold the truth; 132 are a chance of 1 in 500."""
    truth = _truth()
    held = {"auc": 0, "change": 0, "brier": 0}
    wrong_verdicts = 0
    for seed in range(150):
        sides = rows(seed, 300, better=1.8, worse=1.5)
        part = measure_part(sides, seed=seed, names=["auc", "brier"])
        for name, interval in (("auc", part.intervals["auc"]), ("change", part.changes["auc"])):
            held[name] += interval.low <= truth[name] <= interval.high
        held["brier"] += part.intervals["brier"].low <= truth["brier"] <= part.intervals["brier"].high
        wrong_verdicts += part.changes["auc"].low > truth["change"]  # it would pass a bound that is not kept
    assert min(held.values()) >= 133, held
    assert wrong_verdicts <= 11  # 2.5 % of 150 are 4; more than 11 is a chance of 1 in 500


def _truth() -> dict[str, float]:
    many = rows(10_000, 300_000, better=1.8, worse=1.5)
    values = {}
    for name, scores in (("candidate", many.candidate), ("production", many.production)):
        assert scores is not None
        found = Scored(scores, many.labels, 0.5).measure(np.ones((1, len(scores))), ["auc", "brier"])
        values[name] = {metric: float(value[0]) for metric, value in found.items()}
    one, other = values["candidate"], values["production"]
    return {"auc": one["auc"], "change": one["auc"] - other["auc"], "brier": one["brier"]}


def calibrated(count: int, seed: int, *, shift: float = 0.0) -> Sides:
    rng = np.random.default_rng(seed)
    truth: NDArray[np.float64] = rng.beta(2, 3, count)
    return Sides((rng.random(count) < truth).astype(np.int64), np.clip(truth + shift, 0, 1), 0.5)


def test_the_calibration_error_has_an_interval_that_reaches_zero_where_there_is_none() -> None:
    reached = sum(measure_part(calibrated(1_000, seed), seed=0, names=["ece"]).intervals["ece"].low <= 0.005
                  for seed in range(40))  # fmt: skip
    assert reached >= 34  # resampled errors alone lie all above the measured one
    off = measure_part(calibrated(1_000, 1, shift=0.15), seed=0, names=["ece"])
    assert off.intervals["ece"].low > 0.08 and 0.1 < (off.metrics["ece"] or 0) < 0.2


def test_slices_are_measured_alone_and_tiny_ones_only_counted() -> None:
    sides = rows(8, 800)
    names = np.array(["OM"] * 500 + ["AE"] * 290 + ["YE"] * 10, object)
    (found,) = measure_slices(sides, {"country": list(names)}, {}, seed=3, names=["auc"])
    assert [(part.value, part.rows) for part in found.parts] == [("OM", 500), ("AE", 290), ("YE", 10)]
    alone = measure_part(sides.at(np.arange(500)), seed=3, names=["auc"], value="OM")
    assert found.parts[0] == alone and set(alone.metrics) == {"auc"}
    assert found.parts[2].too_few and found.parts[2].intervals == {}


def test_of_very_many_values_the_frequent_and_the_required_are_measured() -> None:
    sides = rows(9, 300)
    names = [f"c{i % 100:02}" if i < 200 else "big" for i in range(300)]
    (found,) = measure_slices(sides, {"c": names}, {"c": ["c99"]}, seed=0, names=["auc"])
    assert found.parts[0].value == "big" and "c99" in {part.value for part in found.parts}
    assert (len(found.parts), found.left_out) == (51, 50)


def test_rows_of_one_class_have_no_auc_and_no_intervals() -> None:
    part = measure_part(Sides(np.zeros(50, np.int64), np.linspace(0, 1, 50), 0.5), seed=0)
    assert part == Part(50, 0, part.metrics) and part.metrics["auc"] is None and part.metrics["accuracy"] == 0.5


@given(st.floats(-1e300, 1e300))
def test_numbers_that_differ_in_their_last_digit_are_two_slices(number: float) -> None:
    here, beside = texts_of([number, float(np.nextafter(number, np.inf))])
    assert here != beside


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_is_one_slice_in_a_column_of_either_kind(number: int) -> None:
    assert texts_of([number]) == texts_of([float(number)]) == [str(number)]


def test_places_with_long_numbers_are_judged_apart() -> None:
    """Three million-odd codes must not pass for one place whose good rows hide the bad ones."""
    sides = rows(3, 900, better=4.0)
    codes = np.repeat([9_400_001.0, 9_400_002.0, 9_400_003.0], 300)
    worse = sides.candidate.copy()
    worse[codes == codes[-1]] = np.random.default_rng(0).random(300)
    (found,) = measure_slices(
        Sides(sides.labels, worse, 0.5), {"code": texts_of(codes.tolist())}, {}, seed=0, names=["auc"]
    )
    measured = {part.value: part.metrics["auc"] or 0.0 for part in found.parts}
    assert measured.keys() == {"9400001", "9400002", "9400003"}
    assert measured["9400001"] > 0.9 > 0.7 > measured["9400003"]


def test_named_slices_and_groups_bear_the_names_that_rows_have() -> None:
    values = [True, 2.0, 3, "OM"]
    assert at_least("auc", 0.5, slices={"code": values}).slices == {"code": tuple(texts_of(values))}  # type: ignore[dict-item]
    assert fairness("code", demographic_parity=0.1, groups=values).groups == tuple(texts_of(values))  # type: ignore[arg-type]
