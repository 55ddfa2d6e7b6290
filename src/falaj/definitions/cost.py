"""Cost: what wrong decisions cost the business."""

import math

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError


class Cost(msgspec.Struct, metaclass=Declared, frozen=True):
    """What each kind of decision costs, in any one unit.

    With it the threshold of a version is the one that costs least on training rows which the model that is asked was
    not fitted to: a fifth is kept from a fit of its own, unless rows are kept back to calibrate. The metric `cost` is
    the mean cost of a decision on the test rows.

    Args:
        false_positive: Of deciding positive where the label is 0.
        false_negative: Of deciding negative where the label is 1.
        true_positive: Of a positive decision that is right, such as looking into it; negative for a gain.
        true_negative: Of a negative decision that is right.

    Example:
        >>> Cost(false_positive=5, false_negative=200).false_negative
        200
    """

    false_positive: float
    false_negative: float
    true_positive: float = 0.0
    true_negative: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not math.isfinite(getattr(self, name)):
                raise DefinitionError(f"cost {name} = {getattr(self, name)} is not a number", hint="give a number")
        if self.false_positive <= self.true_negative or self.false_negative <= self.true_positive:
            raise DefinitionError(
                "cost: a wrong decision costs no more than the right one",
                hint="give false_positive above true_negative, and false_negative above true_positive",
            )
