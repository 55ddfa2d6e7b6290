"""A model's task: what it makes of the checks, triggers and combinations that are declared beside it."""

from collections.abc import Callable
from typing import Any

import pytest

import falaj as fj
from falaj.definitions.model import Model
from falaj.definitions.project import collect
from falaj.definitions.yaml.files import YamlFiles
from falaj.kernel.errors import DefinitionError
from support.rooms_world import endpoint, model, source


def regression(name: str = "rides", **changes: Any) -> Model:
    fields: dict[str, Any] = {
        "task": "regression",
        "gates": [fj.gate.at_most("rmse", 50)],
        "label": fj.Label(source(), "amount"),
    }
    features = fj.FeatureService(f"{name}_in", [fj.request("heat", "float64")])
    return model(name, **({"features": features} | fields | changes))


def test_a_model_is_a_classification_unless_it_says_otherwise() -> None:
    assert model().task == "classification" and regression().task == "regression"


FITTING = [
    fj.gate.at_most("mae", 5, slices=["card_id"]),
    fj.gate.at_least("r2", 0.5, by_interval=True),
    fj.gate.no_worse_than_production("wape", relative=0.1),
    fj.gate.latency(p99_ms=5),
    fj.gate.no_leak(r2=0.95),
    fj.gate.robust("rmse", by=3, under=["missing", "noise", "units"]),
]


def test_every_check_that_errors_have_is_taken() -> None:
    assert regression(gates=FITTING).gates == FITTING


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": [fj.gate.at_least("auc", 0.9)]}, "a regression has no metric 'auc'"),
        ({"gates": [fj.gate.at_most("ece", 0.1)]}, "a regression has no metric 'ece'"),
        ({"gates": [fj.gate.no_worse_than_production("f1")]}, "a regression has no metric 'f1'"),
        ({"gates": [fj.gate.robust("log_loss", by=1)]}, "a regression has no metric 'log_loss'"),
        ({"gates": [fj.gate.no_leak()]}, "bounds an auc, which a regression does not have"),
        ({"gates": [fj.gate.fairness("card_id", equalised_odds=0.1)]}, "fairness is of decisions"),
        ({"gates": [fj.gate.robust("mae", by=1, under=["attack"], mutable=["heat"])]}, "an attack lets positives"),
        ({"cost": fj.Cost(1, 5)}, "a regression decides nothing"),
        ({"task": "classification"}, "a classification has no metric 'rmse'"),
        ({"task": "classification", "gates": [fj.gate.no_leak(r2=0.9)]}, "bounds an r2, which a classification"),
        ({"task": "ranking"}, "task 'ranking' does not exist"),
    ],
)
def test_what_the_task_does_not_have_is_refused_with_a_hint(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as refused:
        regression(**changes)
    assert refused.value.hint


def test_the_leak_of_one_feature_is_bounded_within_reason() -> None:
    assert fj.gate.no_leak(r2=0.95).name == "no feature alone above r2 0.95"
    with pytest.raises(DefinitionError, match=r"r2 0\.2 is not between 0\.8 and 1"):
        fj.gate.no_leak(r2=0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fj.on.performance("rmse", at_least=3), "'rmse'.*needs a bound at_most alone"),
        (lambda: fj.on.performance("auc", at_most=3), "'auc'.*needs a bound at_least alone"),
        (lambda: fj.on.performance("r2", at_least=0.1, at_most=0.2), "needs a bound at_least alone"),
        (lambda: fj.on.performance("mae", at_most=float("nan")), "needs a bound at_most alone"),
        (lambda: fj.on.performance("mape", at_most=1), "is not measured"),
    ],
)
def test_a_trigger_is_bounded_on_the_side_that_is_worse(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_trigger_looks_at_what_the_model_has() -> None:
    errors, ranks = fj.on.performance("wape", at_most=0.3), fj.on.performance("auc", at_least=0.9)
    assert endpoint("e", regression(), retrain=fj.retrain(on=[errors])).retrain is not None
    for of, trigger in ((regression(), ranks), (model(), errors)):
        with pytest.raises(DefinitionError, match="is not measured of a"):
            endpoint("e", of, retrain=fj.retrain(on=[trigger]))


def test_numbers_have_a_mean_and_no_votes() -> None:
    one, other = endpoint("one", regression("a")), endpoint("other", regression("b"))
    assert fj.mean_of([one, other]).method == "mean"
    assert fj.stack_of([one, other], weights=[0.5, 0.5], link="identity").link == "identity"
    with pytest.raises(DefinitionError, match="numbers are no votes"):
        fj.vote_of([one, other])
    with pytest.raises(DefinitionError, match="some predict a number and some a probability"):
        fj.mean_of([one, endpoint("fraud", model())])


YAML = b"""falaj: 1
models:
  - name: rides
    features: rides_in
    label: {source: tx, column: amount}
    task: regression
    trainer: {lightgbm: {num_trees: 5}}
    gates:
      - at_most: {metric: rmse, bound: 50}
      - no_leak: {r2: 0.95}
endpoints:
  - name: demand
    model: rides
    retrain: {on: [performance: {metric: rmse, at_most: 60}]}
"""


def test_yaml_says_the_same_as_python() -> None:
    python = collect(
        [("a.py: s", source()), ("a.py: f", fj.FeatureService("rides_in", [fj.request("heat", "float64")]))]
    )

    def find_module(name: str) -> None:
        raise AssertionError(name)

    made = [one for _, one in YamlFiles([("a.yaml", YAML)], find_module).definitions(python)]  # type: ignore[arg-type]
    wanted = regression(gates=[fj.gate.at_most("rmse", 50), fj.gate.no_leak(r2=0.95)])
    retrained = fj.retrain(on=[fj.on.performance("rmse", at_most=60)])
    assert {type(one).__name__: one for one in made} == {
        "Model": wanted, "Endpoint": fj.Endpoint("demand", wanted, retrain=retrained),
    }  # fmt: skip
    with pytest.raises(DefinitionError, match="regresion"):
        bad = YAML.replace(b"task: regression", b"task: regresion")
        list(YamlFiles([("a.yaml", bad)], find_module).definitions(python))  # type: ignore[arg-type]
