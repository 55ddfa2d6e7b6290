"""Robustness: what missing, noisy, mis-scaled and attacked inputs cost."""

import numpy as np
import pytest
from msgspec.structs import replace

from falaj.definitions.gate import Robustness, robust
from falaj.definitions.signature import InputSpec, Signature
from falaj.models.findings import Findings
from falaj.models.gate_report import Outcome
from falaj.models.judgement.perturbed import judge_robustness
from falaj.models.parts import Part, Sides
from falaj.models.perturbations import Perturbation, attack, perturbations_of, perturbed
from falaj.models.robustness import Robust, Subject, measure_robustness
from falaj.models.runtimes.port import Matrix, Scores

SIGNATURE = Signature(
    (InputSpec("amount", "float64"), InputSpec("age", "int64"), InputSpec("city", "string", ("a", "b", "c")))
)
EVEN = {"amount": 1.0, "age": 1.0}


def rows(seed: int, count: int = 1_000) -> tuple[Matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([rng.normal(size=count), rng.normal(size=count), rng.integers(0, 3, count)])
    labels = (matrix[:, 0] + matrix[:, 1] + rng.normal(0, 0.5, count) > 1).astype(np.int64)
    return matrix.astype(np.float32), labels


def leaning(on_amount: float, on_age: float) -> Subject:
    """A model that is a weighted sum, and takes a missing value for zero."""

    def predict(matrix: Matrix) -> Scores:
        known = np.nan_to_num(matrix.astype(np.float64))
        return 1 / (1 + np.exp(np.clip(1 - on_amount * known[:, 0] - on_age * known[:, 1], -30, 30)))

    matrix, _ = rows(1)
    return Subject(predict, SIGNATURE, matrix, EVEN)


BOTH, ONE = leaning(1, 1), leaning(2, 0)


def measured(check: Robustness, candidate: Subject, production: Subject | None = None) -> Robust:
    _, labels = rows(1)
    scores = [None if s is None else np.asarray(s.predict(s.matrix)) for s in (candidate, production)]
    assert scores[0] is not None
    return measure_robustness(check, Sides(labels, scores[0], 0.5, scores[1], 0.5), candidate, production, seed=0)


def outcomes(check: Robustness, candidate: Subject, production: Subject | None = None) -> list[Outcome]:
    found = Findings(Part(1_000, 200), robustness=(measured(check, candidate, production),))
    return [result.outcome for result in judge_robustness(check, found)]


def test_a_missing_feature_costs_and_the_worst_one_is_named() -> None:
    found = measured(robust("auc", by=0.1, under=["missing"], against="itself"), ONE).worst[0]
    assert (found.label, found.tried) == ("amount missing", 3)
    assert found.value is not None and found.baseline is not None and found.value < found.baseline - 0.1


def test_units_are_tried_up_and_down_on_numbers_only() -> None:
    tried = list(perturbations_of("units", SIGNATURE))
    assert [one.label for one in tried] == [
        "amount times 100", "amount times 0.001", "age times 100", "age times 0.001"
    ]  # fmt: skip
    assert [one.label for one in perturbations_of("missing", SIGNATURE)][-1] == "city missing"


def test_against_itself_and_against_production() -> None:
    kinds = ["missing", "noise", "units"]
    itself = robust("f1", by=0.1, under=kinds, against="itself")  # type: ignore[arg-type]
    assert outcomes(itself, ONE) == [Outcome.FAIL, Outcome.PASS, Outcome.FAIL]
    than_production = robust("f1", by=0.1, under=kinds)  # type: ignore[arg-type]
    assert outcomes(than_production, BOTH, BOTH) == [Outcome.PASS] * 3
    assert outcomes(than_production, ONE, BOTH)[0] is Outcome.FAIL


def test_an_attack_stays_within_its_bound_and_finds_what_the_model_leans_on() -> None:
    matrix, _ = rows(2)
    seen: list[Matrix] = []

    def spied(tried: Matrix) -> Scores:
        seen.append(tried.copy())
        return ONE.predict(tried)

    lowest = attack(spied, SIGNATURE, matrix, mutable=["amount"], deviations=EVEN, strength=0.5, seed=0)
    before = np.asarray(ONE.predict(matrix))
    assert (lowest <= before).all() and (before - lowest).mean() > 0.1
    for tried in seen:
        assert np.abs(tried[:, 0] - matrix[:, 0]).max() <= 0.5 + 1e-5
        assert (tried[:, 1:] == matrix[:, 1:]).all()  # what cannot be changed is not
    assert (attack(ONE.predict, SIGNATURE, matrix, mutable=["amount"], deviations=EVEN, strength=0.5, seed=0) == lowest
            ).all()  # fmt: skip


def test_an_attack_is_judged() -> None:
    check = robust("auc", by=0.05, under=["attack"], mutable=["amount"], against="itself", strength=1.0)
    assert outcomes(check, ONE) == [Outcome.FAIL]
    weak = robust("auc", by=0.2, under=["attack"], mutable=["age"], against="itself", strength=0.1)
    assert outcomes(weak, ONE) == [Outcome.PASS]


def test_noise_is_the_same_for_two_models_with_an_input_in_common() -> None:
    matrix, _ = rows(3)
    noise = Perturbation("noise")
    once = perturbed(noise, SIGNATURE, matrix, deviations=EVEN, strength=0.1, seed=5)
    fewer = Signature(SIGNATURE.inputs[1:])
    other = perturbed(noise, fewer, np.ascontiguousarray(matrix[:, 1:]), deviations=EVEN, strength=0.1, seed=5)
    assert (once[:, 1:] == other).all() and (once[:, 0] != matrix[:, 0]).any()
    assert (once[:, 2] == matrix[:, 2]).all()  # a text has no noise


def test_what_was_not_tried_fails_and_few_rows_decide_nothing() -> None:
    check = robust("auc", by=0.1, against="itself")
    assert [r.outcome for r in judge_robustness(check, Findings(Part(100, 50)))] == [Outcome.FAIL] * 3
    found = measured(check, ONE)
    few = Robust(check.name, tuple(replace(one, positives=3) for one in found.worst))
    assert {r.outcome for r in judge_robustness(check, Findings(Part(100, 50), robustness=(few,)))} == {"INCONCLUSIVE"}


def test_of_a_loss_the_worst_is_the_greatest() -> None:
    found = measured(robust("brier", by=0.1, under=["missing"], against="itself"), ONE).worst[0]
    assert found.label == "amount missing" and (found.value or 0) > (found.baseline or 0)


@pytest.mark.parametrize("production", [False, True])
def test_a_model_that_answers_no_number_under_a_perturbation_fails(production: bool) -> None:
    def lost(matrix: Matrix) -> Scores:
        return np.where(np.isnan(matrix[:, 0]), np.nan, BOTH.predict(np.nan_to_num(matrix)))

    fragile = Subject(lost, SIGNATURE, BOTH.matrix, EVEN)
    check = robust("auc", by=0.9, under=["missing"], against="production" if production else "itself")
    assert outcomes(check, fragile, fragile if production else None) == [Outcome.FAIL]
