"""Trainers: parameters that would count for nothing are refused."""

from collections.abc import Callable
from typing import Any

import pytest

import falaj as fj
from falaj.kernel.errors import DefinitionError


@pytest.mark.parametrize(
    "make",
    [fj.lightgbm, fj.xgboost, lambda **params: fj.sklearn("sklearn.ensemble.RandomForestClassifier", **params)],
)
def test_a_seed_by_the_librarys_name_is_told_ours(make: Callable[..., Any]) -> None:
    assert make(seed=3).seed == 3
    with pytest.raises(DefinitionError, match="random_state = 3 would count for nothing") as refused:
        make(random_state=3)
    assert "seed=" in refused.value.hint
