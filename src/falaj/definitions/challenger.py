"""Challenger: when a version in the shadow has shown to be better than what decides, and is proposed in its place."""

import math
from typing import Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError

Loss = Literal["brier", "errors", "cost"]
"""What a decision loses once its outcome is known."""


class Challenger(msgspec.Struct, metaclass=Declared, frozen=True):
    """What the endpoint's shadow must show before it is proposed to decide itself; an approval lets it out.

    Args:
        by: "brier" for the squared distance of the score from the outcome, "errors" for decisions that were wrong,
            each by its own threshold, "cost" for what the model's `cost` says of them.
        margin: By how much more than this it must lose less, on average.
        min_outcomes: Fewest decisions with an outcome, of those that both were asked for.

    Raises:
        DefinitionError: There is no such loss, or a number is out of range.

    Example:
        >>> Challenger(by="errors", margin=0.005).min_outcomes
        200
    """

    by: Loss = "brier"
    margin: float = 0.0
    min_outcomes: int = 200

    def __post_init__(self) -> None:
        if self.by not in ("brier", "errors", "cost"):
            raise DefinitionError(f"challenger by {self.by!r} is not measured", hint="use brier, errors or cost")
        if not 0 <= self.margin < math.inf or self.min_outcomes < 1:
            raise DefinitionError(
                f"challenger(margin={self.margin}, min_outcomes={self.min_outcomes}) is out of range",
                hint="margin >= 0, min_outcomes >= 1",
            )
