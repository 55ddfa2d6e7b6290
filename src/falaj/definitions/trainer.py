"""Trainer: the algorithm that fits a model, as a plain value."""

from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DefinitionError


class Trainer(msgspec.Struct, frozen=True):
    """An algorithm and its parameters.

    Attributes:
        kind: Which library.
        params: Passed to the library under its own names, except `num_trees`, which means boosting rounds.
        estimator: For scikit-learn, the estimator's import path.
        seed: Every source of randomness starts from it.
    """

    kind: Literal["lightgbm", "xgboost", "sklearn"]
    params: dict[str, Any] = {}
    estimator: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind == "sklearn" and not self.estimator.startswith("sklearn."):
            raise DefinitionError(
                f"sklearn trainer: estimator {self.estimator!r} is not a scikit-learn class",
                hint="write fj.sklearn('sklearn.linear_model.LogisticRegression', C=1.0)",
            )


def lightgbm(*, num_trees: int = 100, seed: int = 0, **params: Any) -> Trainer:
    """Gradient-boosted trees by LightGBM; the other parameters are LightGBM's own."""
    return Trainer("lightgbm", {"num_trees": num_trees, **params}, seed=seed)


def xgboost(*, num_trees: int = 100, seed: int = 0, **params: Any) -> Trainer:
    """Gradient-boosted trees by XGBoost; the other parameters are XGBoost's own."""
    return Trainer("xgboost", {"num_trees": num_trees, **params}, seed=seed)


def sklearn(estimator: str, *, seed: int = 0, **params: Any) -> Trainer:
    """A scikit-learn classifier, with missing values imputed by the median and features standardised."""
    return Trainer("sklearn", params, estimator, seed)
