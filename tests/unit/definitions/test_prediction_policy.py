"""What of an endpoint's decisions is written down, as it is declared."""

from typing import Any

import pytest

import falaj as fj
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.kernel.errors import DefinitionError
from support.rooms_world import model


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.01, float("nan")])
def test_a_share_that_is_none_is_refused(ratio: float) -> None:
    with pytest.raises(DefinitionError, match="sample_ratio"):
        fj.prediction_log(sample_ratio=ratio)


def test_another_way_to_redact_is_refused() -> None:
    ways: dict[str, Any] = {"card_id": "mask"}
    with pytest.raises(DefinitionError, match="'mask'"):
        fj.prediction_log(redact=ways)


def test_a_misspelt_name_is_refused_since_it_would_redact_nothing() -> None:
    with pytest.raises(DefinitionError, match="redacts 'amont'") as caught:
        fj.Endpoint("fraud", model(), prediction_log=fj.prediction_log(redact={"amont": "drop"}))
    assert "amount" in caught.value.hint
    every = ("card_id", "amount", "activity__seen", "client_id")
    assert fj.Endpoint("fraud", model(), prediction_log=fj.prediction_log(redact=dict.fromkeys(every, "drop")))


def test_by_default_all_of_everything_is_kept() -> None:
    assert fj.Endpoint("fraud", model()).prediction_log == PredictionPolicy() == fj.prediction_log()
    assert not PredictionPolicy().restricts
