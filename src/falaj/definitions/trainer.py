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
    """Gradient-boosted trees by LightGBM; texts come to it as ordinal codes, missing values as they are.

    Args:
        num_trees: Boosting rounds.
        seed: Every source of randomness starts from it.
        params: LightGBM's own parameters.

    Example:
        >>> lightgbm(num_trees=200, learning_rate=0.05).params
        {'num_trees': 200, 'learning_rate': 0.05}
    """
    return Trainer("lightgbm", {"num_trees": num_trees, **params}, seed=seed)


def xgboost(*, num_trees: int = 100, seed: int = 0, **params: Any) -> Trainer:
    """Gradient-boosted trees by XGBoost; texts come to it as ordinal codes, missing values as they are.

    Args:
        num_trees: Boosting rounds.
        seed: Every source of randomness starts from it.
        params: XGBoost's own parameters.

    Example:
        >>> xgboost(num_trees=200, max_depth=4).params
        {'num_trees': 200, 'max_depth': 4}
    """
    return Trainer("xgboost", {"num_trees": num_trees, **params}, seed=seed)


def sklearn(estimator: str, *, seed: int = 0, **params: Any) -> Trainer:
    """A scikit-learn classifier, behind the preparation that it needs.

    Missing numbers are imputed by the median. Estimators of `sklearn.tree` and `sklearn.ensemble` get texts as ordinal
    codes; for all others a text becomes a column of 0 and 1 for each value seen in training, and numbers are scaled.

    Args:
        estimator: The class's import path; it must have `predict_proba`.
        seed: Its `random_state`, if it has one.
        params: The estimator's own parameters.

    Example:
        >>> sklearn("sklearn.linear_model.LogisticRegression", C=0.5).params
        {'C': 0.5}
    """
    return Trainer("sklearn", params, estimator, seed)
