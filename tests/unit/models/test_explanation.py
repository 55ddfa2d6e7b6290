"""Explanation: TreeSHAP from the boosters themselves, permutation for all others."""

import numpy as np
import pytest

from falaj.definitions.trainer import Trainer, lightgbm, sklearn, xgboost
from falaj.models.explanation import explain
from falaj.models.runtimes.lightgbm import LightgbmRuntime
from falaj.models.training.fit import fit
from unit.models.rows import Rows


@pytest.mark.parametrize(
    ("trainer", "method"),
    [
        (lightgbm(num_trees=20), "treeshap"),
        (xgboost(num_trees=20), "treeshap"),
        (sklearn("sklearn.linear_model.LogisticRegression"), "permutation"),
    ],
)
def test_what_decides_comes_first_and_points_its_way(noise: Rows, trainer: Trainer, method: str) -> None:
    fitted = fit(trainer, noise.matrix, noise.labels, noise.names)
    files = {} if fitted.native is None else {fitted.kind: fitted.native}
    found = explain(files, fitted.predict, noise.names, noise.matrix, noise.labels, seed=0)
    assert (found.method, found.rows) == (method, 600)
    assert [one.feature for one in found.attributions[:2]] == ["x1", "x0"]
    if method == "treeshap":
        assert all((one.direction or 0) > 0.5 for one in found.attributions[:2])
    assert found == explain(files, fitted.predict, noise.names, noise.matrix, noise.labels, seed=0)


def test_contributions_add_up_to_the_log_odds(noise: Rows) -> None:
    fitted = fit(lightgbm(num_trees=20), noise.matrix, noise.labels, noise.names)
    assert fitted.native is not None
    added = LightgbmRuntime(fitted.native, 4).contributions(noise.matrix)
    scores = fitted.predict(noise.matrix)
    np.testing.assert_allclose(added.sum(axis=1), np.log(scores / (1 - scores)), atol=1e-9)


def test_a_thousand_rows_are_enough(noise: Rows) -> None:
    fitted = fit(lightgbm(num_trees=5), noise.matrix, noise.labels, noise.names)
    many = np.tile(noise.matrix, (4, 1)), np.tile(noise.labels, 4)
    assert explain({}, fitted.predict, noise.names, *many, seed=0).rows == 1_000


def test_of_one_class_nothing_is_said(noise: Rows) -> None:
    fitted = fit(lightgbm(num_trees=5), noise.matrix, noise.labels, noise.names)
    assert explain({}, fitted.predict, noise.names, noise.matrix, noise.labels * 0, seed=0).attributions == ()
