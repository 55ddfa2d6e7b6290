"""What a training would be refused for is said before it begins, where it shows without importing a library."""

import importlib
import subprocess
import sys

import pytest

import falaj as fj
from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DefinitionError
from falaj.models.training.foreseen import missing_library, refuse_misspelt

ESTIMATORS = [
    "sklearn.linear_model.LogisticRegression",
    "sklearn.linear_model.SGDClassifier",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.svm.SVC",
    "sklearn.naive_bayes.GaussianNB",
    "sklearn.neural_network.MLPRegressor",
    "sklearn.linear_model._logistic.LogisticRegression",
]


@pytest.mark.parametrize(
    ("trainer", "message", "hint"),
    [
        (fj.lightgbm(num_leafs=4), "parameter 'num_leafs' does not exist", "did you mean 'num_leaf'?"),
        (
            fj.tuned(fj.lightgbm(), {"num_leafs": fj.search.int(2, 4)}),
            "parameter 'num_leafs' does not exist",
            "did you mean 'num_leaf'?",
        ),
        (
            fj.sklearn("sklearn.linear_model.LogisticRegresion"),
            "'sklearn.linear_model.LogisticRegresion' does not exist",
            "did you mean 'LogisticRegression'?",
        ),
        (fj.sklearn("sklearn.linear.Ridge"), "'sklearn.linear.Ridge' does not exist", "write it like"),
    ],
)
def test_a_misspelt_name_is_refused(trainer: Trainer, message: str, hint: str) -> None:
    with pytest.raises(DefinitionError, match=message) as told:
        refuse_misspelt(trainer)
    assert told.value.hint.startswith(hint)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_python_finds_is_not_refused(estimator: str) -> None:
    module, _, name = estimator.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    refuse_misspelt(fj.sklearn(estimator))


def test_other_names_of_lightgbm_are_known() -> None:
    refuse_misspelt(fj.lightgbm(n_estimators=5, objective="binary", eta=0.1))
    refuse_misspelt(fj.xgboost(max_depth=3))


@pytest.mark.parametrize(
    ("trainer", "module", "line"),
    [
        (fj.tuned(fj.lightgbm(), {"num_leaves": fj.search.int(2, 4)}), "optuna", "pip install 'falaj[tune]'"),
        (fj.automl(), "flaml", "pip install 'falaj[automl]'"),
        (fj.river(), "river", "pip install 'falaj[online]'"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, trainer: Trainer, module: str, line: str
) -> None:
    assert missing_library(trainer) == ""
    monkeypatch.setitem(sys.modules, module, None)
    assert missing_library(trainer) == f"its training needs {module}, which is not installed: {line}"


def test_nothing_is_imported_to_look() -> None:
    code = """
import sys
import falaj as fj
from falaj.models.training.foreseen import missing_library, refuse_misspelt
for one in (fj.lightgbm(num_leaves=3), fj.automl(), fj.river(), fj.sklearn("sklearn.linear_model.Ridge")):
    refuse_misspelt(one)
    missing_library(one)
print([name for name in ("lightgbm", "sklearn", "flaml", "river", "optuna") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
