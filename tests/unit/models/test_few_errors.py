"""Intervals where errors are few: they have a width, and hold the truth as often as they say."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.gate import at_least, at_most, no_worse_than_production
from falaj.models.bootstrap import Interval
from falaj.models.bounded_means import change_between, mean_between
from falaj.models.findings import Findings
from falaj.models.gate_report import Outcome
from falaj.models.judgement.metric import judge_bound, judge_change
from falaj.models.metrics import Floats, Scored
from falaj.models.misplaced import misplaced, precision_at
from falaj.models.parts import Sides, measure_part
from falaj.models.proportions import share

COST = Cost(1, 10)
SHARES = ("precision", "recall", "accuracy", "f1", "auc", "average_precision", "brier", "ece", "cost")


def perfect(positives: int, negatives: int = 200) -> Sides:
    """Rows that two models both rank and decide rightly, without one error."""
    labels = np.repeat([1, 0], [positives, negatives])
    scores = labels.astype(np.float64)
    return Sides(labels, scores, 0.5, scores.copy(), 0.5, COST)


@pytest.mark.parametrize("metric", SHARES)
def test_without_a_single_error_intervals_and_changes_have_a_width(metric: str) -> None:
    part = measure_part(perfect(12), seed=0, names=[metric])
    assert part.intervals[metric].high - part.intervals[metric].low > 0.005
    assert part.changes[metric].low < 0 < part.changes[metric].high


@pytest.mark.parametrize("metric", ["precision", "recall", "auc", "f1", "accuracy"])
def test_a_gate_by_interval_does_not_pass_on_thin_evidence_and_passes_on_more(metric: str) -> None:
    check = at_least(metric, 0.95, by_interval=True)
    thin, thick = (Findings(measure_part(perfect(n, n), seed=0, names=[metric])) for n in (12, 400))
    assert next(judge_bound(check, thin)).outcome is Outcome.INCONCLUSIVE
    assert next(judge_bound(check, thick)).outcome is Outcome.PASS


def test_cost_and_losses_do_not_pass_by_interval_on_thin_evidence() -> None:
    findings = Findings(measure_part(perfect(12, 12), seed=0))
    for metric, bound in (("cost", 0.1), ("brier", 0.01), ("ece", 0.01)):
        assert next(judge_bound(at_most(metric, bound, by_interval=True), findings)).outcome is Outcome.INCONCLUSIVE


def test_no_discordant_row_is_no_proof_that_nothing_changed() -> None:
    for metric in ("recall", "precision", "auc"):
        check = no_worse_than_production(metric, by=0.02)
        few, many = (Findings(measure_part(perfect(n, 2 * n), seed=0, names=[metric])) for n in (30, 600))
        assert next(judge_change(check, few)).outcome is Outcome.INCONCLUSIVE, metric
        assert next(judge_change(check, many)).outcome is Outcome.PASS, metric


def test_an_open_check_says_how_many_rows_would_decide_it() -> None:
    check = no_worse_than_production("recall", by=0.01)
    result = next(judge_change(check, Findings(measure_part(perfect(100, 100), seed=0, names=["recall"]))))
    assert result.outcome is Outcome.INCONCLUSIVE and result.rows_needed is not None
    assert "test rows like these would decide if the two are alike" in result.reason
    enough = result.rows_needed // 2
    decided = next(judge_change(check, Findings(measure_part(perfect(enough, enough), seed=0, names=["recall"]))))
    assert decided.outcome is Outcome.PASS and decided.rows_needed is None
    bound = next(judge_bound(at_least("recall", 0.99, by_interval=True), Findings(measure_part(perfect(40), seed=0))))
    assert bound.rows_needed is not None and bound.rows_needed > 240 and "if the value stays" in bound.reason


def test_of_production_itself_nothing_is_worse() -> None:
    sides = perfect(12)
    same = Sides(sides.labels, sides.candidate, 0.5, sides.candidate, 0.5, same=True)
    assert measure_part(same, seed=0, names=["auc"]).changes["auc"] == Interval(0.0, 0.0, 1_000)
    stricter = Sides(sides.labels, sides.candidate, 0.6, sides.candidate, 0.5, same=True)
    changes = measure_part(stricter, seed=0, names=["auc", "brier", "recall"]).changes
    assert changes["auc"] == changes["brier"] == Interval(0.0, 0.0, 1_000)  # scores know no threshold
    assert changes["recall"].low < 0 < changes["recall"].high  # what lies between the two may be on other rows


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (10, 10), (499, 500)])
def test_of_whole_rows_the_mean_is_wilsons(hits: int, count: int) -> None:
    found, wilson = mean_between(np.repeat([1.0, 0.0], [hits, count - hits])), share(hits, count)
    assert found == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_of_whole_rows_the_change_is_tangos() -> None:
    """The limits for 44 and 25 discordant pairs of 1,000, and for none, solve Tango's score equation."""
    changes = np.repeat([1.0, -1.0, 0.0], [44, 25, 931])
    low, high = change_between(changes)
    assert low < 0.019 < high and (low, high) == pytest.approx((0.0028, 0.0358), abs=3e-4)
    z2 = 1.959964**2
    assert change_between(np.zeros(50)) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)), abs=1e-6)
    assert change_between(-changes) == pytest.approx((-high, -low), abs=1e-9)


def test_a_loss_that_many_rows_share_is_known_more_closely_than_one_of_few() -> None:
    spread, lumped = np.full(200, 0.05), np.repeat([1.0, 0.0], [10, 190])
    widths = [high - low for low, high in map(mean_between, (spread, lumped))]
    assert widths[0] < 0.3 * widths[1]


def test_misplaced_rows_and_precisions_are_what_the_rankings_are_made_of() -> None:
    rng = np.random.default_rng(0)
    labels, scores = (rng.random(300) < 0.3).astype(np.int64), rng.integers(0, 20, 300) / 20
    scored = Scored(scores, labels, 0.5)
    found = scored.measure(np.ones((1, 300)), ["auc", "average_precision"])
    above, below = misplaced(scored)
    assert 1 - above.mean() == pytest.approx(found["auc"][0]) == 1 - below.mean()
    assert precision_at(scored).mean() == pytest.approx(found["average_precision"][0])


@cache
def interval_of_recall(hits: int, count: int) -> Interval:
    labels = np.repeat([1, 0], [count, 10])
    scores = np.concatenate([np.repeat([0.9, 0.1], [hits, count - hits]), np.full(10, 0.1)])
    return measure_part(Sides(labels, scores, 0.5), seed=0, names=["recall"]).intervals["recall"]


@pytest.mark.parametrize("count", [10, 30, 100, 1_000])
@pytest.mark.parametrize("truth", [0.002, 0.02, 0.1, 0.5, 0.9, 0.98, 0.998])
def test_the_interval_of_a_share_holds_it_in_93_of_100_or_more(count: int, truth: float) -> None:
    """Over all hits there can be, each with its probability: there is no luck in it, and no slack."""
    held = 0.0
    for hits in range(count + 1):
        probability = binomial(hits, count, truth)
        if probability > 1e-5:
            found = interval_of_recall(hits, count)
            held += probability * (found.low <= truth <= found.high)
    assert held >= 0.93


def binomial(hits: int, count: int, truth: float) -> float:
    logs = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return math.exp(logs + hits * math.log(truth) + (count - hits) * math.log1p(-truth))


@pytest.mark.parametrize("count", [10, 30, 100, 300])
@pytest.mark.parametrize(("gain", "loss"), [(0.0, 0.02), (0.01, 0.05), (0.1, 0.1), (0.0, 0.3), (0.3, 0.02)])
def test_the_interval_of_a_paired_change_holds_it_in_93_of_100_or_more(count: int, gain: float, loss: float) -> None:
    """Of 2,000 pairs of counts; 93 of 100 less three standard errors of so many is the least that luck explains."""
    counts = np.random.default_rng(count).multinomial(count, [gain, loss, 1 - gain - loss], size=2_000)
    distinct, often = np.unique(counts, axis=0, return_counts=True)
    held = 0
    for (gained, lost, _), times in zip(distinct.tolist(), often.tolist(), strict=True):
        low, high = change_between(np.repeat([1.0, -1.0, 0.0], [gained, lost, count - gained - lost]))
        held += times * (low <= gain - loss <= high)
    assert held / 2_000 >= 0.93 - 3 * math.sqrt(0.07 * 0.93 / 2_000)


def ranked(rng: np.random.Generator, positives: int, negatives: int, apart: float, lost: float) -> Sides:
    """Scores whose classes are so far apart, but for a share of positives that rank last."""
    labels = np.repeat([1, 0], [positives, negatives])
    values: NDArray[np.float64] = rng.normal(size=len(labels)) + apart * labels
    values[:positives][rng.random(positives) < lost] -= 20
    return Sides(labels, 1 / (1 + np.exp(-values)), 0.5)


RANKINGS: list[tuple[int, int, float, float]] = [(10, 100, 3.0, 0.0), (20, 20, 3.0, 0.0), (30, 300, 20.0, 0.05)]


@pytest.mark.parametrize(("positives", "negatives", "apart", "lost"), RANKINGS)
def test_the_interval_of_auc_holds_it_where_nearly_all_positives_rank_first(
    positives: int, negatives: int, apart: float, lost: float
) -> None:
    """Of 200 rankings; the bootstrap alone holds 75 to 79 of 100."""
    truth = (1 - lost) * 0.5 * (1 + math.erf(apart / 2))
    held = 0
    for seed in range(200):
        sides = ranked(np.random.default_rng(seed), positives, negatives, apart, lost)
        found = auc_of(sides)
        held += found.low <= truth <= found.high
    assert held / 200 >= 0.93 - 3 * math.sqrt(0.07 * 0.93 / 200)


def auc_of(sides: Sides) -> Interval:
    return measure_part(sides, seed=0, names=["auc"]).intervals["auc"]


def test_where_many_rows_are_misplaced_the_interval_is_little_wider_than_the_bootstraps() -> None:
    """The gate has to stay of use: 300 frauds of a model that ranks neither badly nor perfectly."""
    sides = ranked(np.random.default_rng(0), 300, 6_000, 2.0, 0.0)
    found = auc_of(sides)
    bare = bootstrap_width(sides, lambda scored, weights: scored.measure(weights, ["auc"])["auc"])
    assert found.high - found.low < 1.25 * bare


def bootstrap_width(sides: Sides, measure: Callable[[Scored, Floats], Floats]) -> float:
    rng = np.random.default_rng(1)
    scored = Scored(sides.candidate, sides.labels, 0.5)
    ones, zeros = (np.flatnonzero(sides.labels == label) for label in (1, 0))
    weights = np.zeros((200, len(sides.labels)))
    for row in weights:
        for rows in (ones, zeros):
            np.add.at(row, rng.choice(rows, len(rows)), 1)
    low, high = np.quantile(measure(scored, weights), [0.025, 0.975])
    return float(high - low)
