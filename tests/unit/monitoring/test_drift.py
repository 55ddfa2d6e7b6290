"""Drift verdicts: quiet under no drift, loud on a real one, and honest about too little evidence."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from falaj.definitions.monitor import monitor
from falaj.kernel.codec import to_json
from falaj.kernel.errors import InputError
from falaj.monitoring.drift import DriftState, DriftVerdict, advance, judge
from falaj.monitoring.histogram import Counts
from falaj.monitoring.questions import DriftPolicy, examine
from falaj.monitoring.references import References, fit_references

Columns = Mapping[str, object]
RNG = np.random.default_rng(11)
ONE_WINDOW = DriftPolicy(persistence=1)


def references(columns: Columns) -> References:
    return fit_references(columns, order=[])


def window(frozen: References, columns: Columns) -> dict[str, Counts]:
    return frozen.count(columns)


def normal(size: int, mean: float = 0.0) -> NDArray[np.float64]:
    return RNG.normal(mean, 1.0, size)


def with_missing(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return np.where(RNG.random(values.size) < share, np.nan, values)


def one(reference: object, current: object, policy: DriftPolicy = ONE_WINDOW) -> DriftVerdict:
    frozen = references({"x": reference})
    return judge(frozen, [window(frozen, {"x": current})], policy)


def alarms(verdict: DriftVerdict) -> list[str]:
    return [finding.question for finding in verdict.findings if finding.alarm]


def test_the_floor_keeps_a_large_sample_from_alarming_on_nothing_that_matters() -> None:
    verdict = one(normal(200_000), normal(200_000, mean=0.05))
    (values,) = (finding for finding in verdict.findings if finding.question == "values")
    assert values.p_corrected < 1e-6
    assert verdict.outcome == "NO_DRIFT"


@pytest.mark.parametrize("size", [300, 1000, 5000])
def test_a_shift_of_one_deviation_is_found(size: int) -> None:
    verdict = one(normal(10_000), normal(size, mean=1.0))
    assert verdict.drifted == ("x",)
    assert alarms(verdict) == ["values"] or "values" in alarms(verdict)
    (values,) = (finding for finding in verdict.findings if finding.question == "values")
    assert values.effect == pytest.approx(1.0, abs=0.35)  # KL both ways between N(0,1) and N(1,1) is 1


def test_a_shift_is_found_nearly_always_and_not_only_once() -> None:
    frozen = references({"x": normal(5000)})
    found = [judge(frozen, [window(frozen, {"x": normal(300, mean=1.0)})], ONE_WINDOW) for _ in range(100)]
    assert all(verdict.outcome == "DRIFT" for verdict in found)


def test_a_changed_missing_rate_is_found_though_the_values_are_the_same() -> None:
    verdict = one(with_missing(normal(10_000), 0.02), with_missing(normal(1000), 0.10))
    assert alarms(verdict) == ["missing"]


def test_a_few_missing_against_a_large_reference_without_any() -> None:
    verdict = one(normal(100_000), with_missing(normal(1000), 0.04))
    assert alarms(verdict) == ["missing"]


def test_a_column_gone_missing_is_drift_though_no_values_are_left_to_compare() -> None:
    verdict = one(normal(5000), np.full(1000, np.nan))
    assert alarms(verdict) == ["missing"]
    assert verdict.unjudged == ("x",)
    assert verdict.outcome == "DRIFT"


def test_values_out_of_range_are_found_below_the_noise_of_the_bins() -> None:
    current = normal(1000)
    current[:40] = 1e9
    assert alarms(one(normal(100_000), current)) == ["unfamiliar"]


def test_a_new_category_is_found_and_a_long_tail_is_not() -> None:
    countries = ["AE", "OM", "SA", "QA"]
    reference = RNG.choice(countries, 8000)
    assert one(reference, RNG.choice(countries, 1000)).outcome == "NO_DRIFT"
    assert "unfamiliar" in alarms(one(reference, RNG.choice([*countries, "XX"], 1000, p=[0.24] * 4 + [0.04])))
    assert "values" in alarms(one(reference, RNG.choice(countries, 1000, p=[0.55, 0.15, 0.15, 0.15])))
    tail = [str(value) for value in RNG.zipf(1.3, 8000)]
    assert one(tail, [str(value) for value in RNG.zipf(1.3, 1000)]).outcome == "NO_DRIFT"


def test_drift_needs_windows_that_agree() -> None:
    frozen, policy = references({"x": normal(5000)}), DriftPolicy(persistence=3)
    quiet, moved = window(frozen, {"x": normal(1000)}), window(frozen, {"x": normal(1000, 1.0)})
    assert judge(frozen, [moved, moved], policy).outcome == "INCONCLUSIVE"
    assert judge(frozen, [moved, moved], policy).suspected == ("x",)
    assert judge(frozen, [moved, moved, moved], policy).outcome == "DRIFT"
    assert judge(frozen, [moved, moved, quiet, moved], policy).outcome == "INCONCLUSIVE"
    assert judge(frozen, [moved, moved, moved, quiet], policy).outcome == "NO_DRIFT"


def test_a_window_too_small_to_judge_neither_breaks_nor_lengthens_a_streak() -> None:
    frozen, policy = references({"x": normal(5000)}), DriftPolicy(persistence=2)
    moved, small = window(frozen, {"x": normal(1000, 1.0)}), window(frozen, {"x": normal(50, 1.0)})
    assert judge(frozen, [small], policy).outcome == "INCONCLUSIVE"
    assert judge(frozen, [small, small, small], policy).outcome == "INCONCLUSIVE"
    assert judge(frozen, [moved, small], policy).outcome == "INCONCLUSIVE"
    assert judge(frozen, [moved, small, moved], policy).outcome == "DRIFT"


def test_carrying_the_state_along_gives_the_same_answer_as_judging_from_nothing() -> None:
    frozen, policy = references({"x": normal(5000), "score": normal(5000)}), DriftPolicy(persistence=2)
    means = [0.0, 1.0, 1.0, 0.0, 1.0]
    windows = [window(frozen, {"x": normal(1000, mean), "score": normal(1000)}) for mean in means]
    state = DriftState()
    for upto, each in enumerate(windows, start=1):
        state, verdict = advance(state, examine(frozen, each, policy), policy)
        assert verdict == judge(frozen, windows[:upto], policy)


def test_a_monitor_definition_becomes_a_policy() -> None:
    policy = DriftPolicy.of(monitor(window=500, persistence=3, alpha=0.02, psi_floor=0.2))
    assert (policy.min_rows, policy.persistence, policy.alpha, policy.psi_floor) == (250, 3, 0.02, 0.2)
    assert DriftPolicy.of(monitor(window=100)).min_rows == 100


def test_verdict_is_a_plain_value_with_its_evidence() -> None:
    verdict = one(normal(5000), normal(1000, 1.0)).to_verdict("fraud", 7)
    assert (verdict.kind, verdict.subject, verdict.outcome, verdict.at_us) == ("drift", "fraud", "FAIL", 7)
    assert verdict.reason == "x drifted from the version's test rows"
    assert verdict.evidence["drifted"] == ["x"]
    assert verdict.evidence["columns"]["x"]["values"]["alarm"]
    assert to_json(verdict)
    assert one(normal(5000), normal(1000)).to_verdict("fraud", 7).reason == "no drift in 3 comparisons over 1 columns"
    assert one(normal(5000), []).reason == "too few rows to judge any column"


def test_bad_windows_are_refused() -> None:
    frozen = references({"x": normal(500)})
    with pytest.raises(InputError, match="no window"):
        judge(frozen, [], ONE_WINDOW)
    with pytest.raises(InputError, match="'x'"):
        examine(frozen, {}, ONE_WINDOW)
    with pytest.raises(InputError, match="'x'"):
        examine(frozen, {"x": np.zeros(3, dtype=np.int64)}, ONE_WINDOW)
