"""Trainer: the algorithm that fits a model, as a plain value."""

import re
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DefinitionError

_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Trainer(msgspec.Struct, frozen=True):
    """An algorithm and its parameters.

    Attributes:
        kind: Which library.
        params: Passed to the library under its own names, except `num_trees`, which means boosting rounds.
        estimator: For scikit-learn, the estimator's import path; for Python, the class as `module:Class`.
        seed: Every source of randomness starts from it.
        folder: For Python, where the class and its files are, from the project's folder.
    """

    kind: Literal["lightgbm", "xgboost", "sklearn", "python"]
    params: dict[str, Any] = {}
    estimator: str = ""
    seed: int = 0
    folder: str = ""

    def __post_init__(self) -> None:
        if self.kind == "sklearn" and not self.estimator.startswith("sklearn."):
            raise DefinitionError(
                f"sklearn trainer: estimator {self.estimator!r} is not a scikit-learn class",
                hint="write fj.sklearn('sklearn.linear_model.LogisticRegression', C=1.0)",
            )
        if self.kind == "python" and not _ENTRY.fullmatch(self.estimator):
            raise DefinitionError(
                f"python trainer: {self.estimator!r} names no class",
                hint="write fj.python('net:Net', folder='net') for the class Net of the file net/net.py",
            )
        if self.kind == "python" and not self.folder.strip():
            raise DefinitionError(
                f"python trainer {self.estimator!r}: its folder is empty",
                hint="give the folder that holds the class and its files, and nothing else",
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
    """A scikit-learn classifier, or of a regression a regressor, behind the preparation that it needs.

    Missing numbers are imputed by the median. Estimators of `sklearn.tree` and `sklearn.ensemble` get texts as ordinal
    codes; for all others a text becomes a column of 0 and 1 for each value seen in training, and numbers are scaled.

    Args:
        estimator: The class's import path; a classifier must have `predict_proba`.
        seed: Its `random_state`, if it has one.
        params: The estimator's own parameters.

    Example:
        >>> sklearn("sklearn.linear_model.LogisticRegression", C=0.5).params
        {'C': 0.5}
    """
    return Trainer("sklearn", params, estimator, seed)


def python(entry: str, *, folder: str, **params: Any) -> Trainer:
    """A class of your own, which scores in a process of its own.

    It has `load(self, folder)` and `predict(self, matrix)`: float32 rows in the order of the feature service in, NaN
    where a value is missing, and one probability for each row out, or one number of a regression. If it has
    `fit(self, matrix, labels, folder)` too, training calls that first, and the files that it writes into the folder
    belong to the version.

    Args:
        entry: The class, as `module:Class`.
        folder: Where the module and its files are, from the project's folder. All of it is kept with each version.
        params: What the class is made with.

    Example:
        >>> python("net:Net", folder="net", layers=2).params
        {'layers': 2}
    """
    return Trainer("python", params, entry, folder=folder)
