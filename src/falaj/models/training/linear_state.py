"""LinearState: all that a linear classifier goes on from, as plain numbers: no pickle, and the same bytes each time."""

from typing import Any

import msgspec
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from falaj.kernel.codec import canonical_json, from_json
from falaj.kernel.errors import DataError


class LinearState(msgspec.Struct, frozen=True):
    """A linear classifier and the preparation of its rows.

    Attributes:
        estimator: Its class's import path.
        fills: What stands for a missing number, by numeric column in the matrix's order.
        means: Of those columns.
        spreads: By what each is divided: its standard deviation; the variance so far for River.
        counts: How many values each has shown; empty where that does not matter.
        weights: Of the prepared columns: numbers first, then a column for each value of each text.
        intercept: Beside them.
        steps: How many steps it has made, which its learning rate may go by.
    """

    estimator: str
    fills: tuple[float, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    counts: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    steps: float

    def encode(self) -> bytes:
        """Return it as JSON."""
        return canonical_json(self)


def read_state(content: bytes, estimator: str, numbers: int, columns: int) -> LinearState:
    """Return a state that fits an estimator and its columns.

    Args:
        content: What `LinearState.encode` gave.
        estimator: Whose state it must be.
        numbers: How many numeric columns there are.
        columns: How many columns there are once they are prepared.

    Raises:
        DataError: It is another estimator's, or of other columns.
    """
    state = from_json(content, LinearState, what="state of a linear classifier")
    if (state.estimator, len(state.means), len(state.weights)) != (estimator, numbers, columns):
        raise DataError(
            f"the state is that of {state.estimator} over {len(state.weights)} columns, and not of {estimator} over "
            f"{columns}",
            hint="train it anew: leave warm_start out once",
        )
    return state


def put_preparation(
    preparation: Pipeline, fills: tuple[float, ...], means: tuple[float, ...], spreads: tuple[float, ...]
) -> None:
    """Let a fitted preparation prepare as another one did; texts have no state.

    Args:
        preparation: Fitted to any rows of the same columns.
        fills: What stands for a missing number.
        means: What is subtracted.
        spreads: By what it is divided.
    """
    found = numbers_of(preparation)
    if found is None:
        return
    imputer, scaler = found
    imputer.statistics_ = np.array(fills, imputer.statistics_.dtype)
    scaler.mean_, scaler.scale_ = np.array(means), np.array(spreads)
    scaler.var_ = scaler.scale_**2


def numbers_of(preparation: Pipeline) -> tuple[Any, Any] | None:
    """Return what fills and what scales the numeric columns; None where all columns are texts."""
    steps = dict(preparation.steps)
    if "columns" in steps:
        parts = steps["columns"].named_transformers_
        if "numbers" not in parts:
            return None
        steps = dict(parts["numbers"].steps)
    imputer, scaler = steps["impute"], steps["scale"]
    assert isinstance(imputer, SimpleImputer)
    assert isinstance(scaler, StandardScaler)
    return imputer, scaler
