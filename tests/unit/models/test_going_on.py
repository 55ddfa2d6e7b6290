"""Going on: a model that is continued on more rows, for each library that can."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.definitions.trainer import BY_STEPS, Trainer
from falaj.kernel.errors import DataError
from falaj.models.export import export
from falaj.models.training.fit import fit
from falaj.models.training.fitted import Fitted

NAMES = ["amount", "age", "country"]
WARM = fj.WarmStart(rounds=3)
TRAINERS = {
    "lightgbm": fj.lightgbm(num_trees=6, warm_start=WARM),
    "xgboost": fj.xgboost(num_trees=6, warm_start=WARM),
    "sklearn": fj.sklearn(BY_STEPS, loss="log_loss", warm_start=WARM),
    "river": fj.river(learning_rate=0.05),
}


def rows(count: int, seed: int) -> tuple[Any, Any]:
    """Amount, age and the code of a country, some of the last two missing; the label is of the first and the last."""
    rng = np.random.default_rng(seed)
    matrix = np.stack([rng.normal(50, 20, count), rng.normal(0, 1, count), rng.integers(0, 3, count)], 1)
    labels = ((matrix[:, 0] - 50) / 20 + (matrix[:, 2] == 1) + rng.normal(0, 0.5, count) > 0.3).astype(int)
    for place in (1, 2):
        matrix[rng.random(count) < 0.1, place] = np.nan
    return matrix.astype(np.float32), labels


def fitted(trainer: Trainer, of: tuple[Any, Any], parent: bytes = b"") -> Fitted:
    return fit(trainer, *of, NAMES, vocabularies={"country": 3}, parent=parent)


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_continued_model_is_the_same_each_time_and_serves_its_own_scores(kind: str) -> None:
    trainer, before, after = TRAINERS[kind], rows(600, 1), rows(300, 2)
    first = fitted(trainer, before)
    one, other = (fitted(trainer, after, first.state) for _ in range(2))
    assert one.state == other.state != first.state
    assert np.mean((one.predict(after[0]) > 0.5) == after[1]) > 0.8
    exported = export(one, after[0])
    assert exported.serving.runtime == "onnx"
    assert exported.serving.parity is not None
    assert exported.serving.parity.holds


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_rounds_are_added_to_the_trees_that_there_are(kind: str) -> None:
    first = fitted(TRAINERS[kind], rows(600, 1))
    second = fitted(TRAINERS[kind], rows(300, 2), first.state)
    assert (first.params["num_trees"], second.params["num_trees"]) == (6, 9)
    assert first.native is not None
    assert second.native is not None
    if kind == "lightgbm":  # its text has the first trees as they were
        tree = first.native.split(b"Tree=5\n")[1].split(b"\n\n")[0]
        assert tree in second.native


def test_rounds_by_another_name_are_rounds_too() -> None:
    trainer = fj.lightgbm(n_estimators=6, warm_start=WARM)
    first = fitted(trainer, rows(600, 1))
    assert first.params["num_trees"] == 6
    assert fitted(trainer, rows(300, 2), first.state).params["num_trees"] == 9


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(40, 160), seed=st.integers(0, 5))
def test_river_stopped_and_gone_on_is_river_that_never_stopped(cut: int, seed: int) -> None:
    matrix, labels = rows(200, seed)
    first = fitted(TRAINERS["river"], (matrix[:cut], labels[:cut]))
    rest = fitted(TRAINERS["river"], (matrix[cut:], labels[cut:]), first.state)
    assert rest.state == fitted(TRAINERS["river"], (matrix, labels)).state


def test_a_column_that_never_varied_counts_for_nothing() -> None:
    matrix, labels = rows(200, 1)
    matrix[:, 1] = 7.0
    model = fitted(TRAINERS["river"], (matrix, labels))
    matrix[:, 1] = np.linspace(0, 9, len(matrix))
    exported = export(model, matrix)
    assert exported.serving.parity is not None
    assert exported.serving.parity.holds


def test_sgd_goes_on_with_its_weights_its_steps_and_the_scale_of_then() -> None:
    before = rows(600, 1)
    first = fitted(TRAINERS["sklearn"], before)
    still = fit(
        fj.sklearn(BY_STEPS, loss="log_loss", learning_rate="constant", eta0=1e-12, warm_start=WARM),
        *rows(300, 2), NAMES, vocabularies={"country": 3}, parent=first.state,
    )  # fmt: skip
    assert np.allclose(still.predict(before[0]), first.predict(before[0]), atol=1e-6)  # tiny steps change nothing


def test_the_state_of_something_else_is_refused() -> None:
    state = fitted(TRAINERS["river"], rows(200, 1)).state
    with pytest.raises(DataError, match=r"the state is that of river\.linear_model"):
        fitted(TRAINERS["sklearn"], rows(200, 2), state)
    matrix, labels = rows(200, 1)
    with pytest.raises(DataError, match="over 5 columns"):
        fit(TRAINERS["river"], matrix[:, :2].copy(), labels, NAMES[:2], parent=state)
