"""Range: the values that a tuned parameter may take."""

import builtins
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.kernel.errors import DefinitionError

_Int = builtins.int
_Float = builtins.float


class Range(msgspec.Struct, metaclass=Declared, frozen=True):
    """The values that one parameter may take.

    Attributes:
        kind: Whole numbers, numbers, or one of several values.
        low: The smallest number.
        high: The greatest number.
        log: Whether ten times as much counts as one step, as for learning rates.
        values: What is chosen from.
    """

    kind: Literal["int", "float", "choice"]
    low: _Int | _Float = 0
    high: _Int | _Float = 0
    log: bool = False
    values: Sequence[Any] = ()

    def __post_init__(self) -> None:
        if self.kind == "choice":
            self._check_values()
            return
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise DefinitionError(
                f"search {self.kind} from {self.low} to {self.high}: there is nothing between",
                hint="give the smaller number first: fj.search.float(0.001, 0.3)",
            )
        if self.log and self.low <= 0:
            raise DefinitionError(
                f"search {self.kind} from {self.low}: with log=True the smallest must be above zero",
                hint="begin at a small number, such as 1e-8",
            )

    def _check_values(self) -> None:
        if len(self.values) < 2:
            raise DefinitionError(
                f"search choice: {len(self.values)} values leave nothing to choose",
                hint="give two or more: fj.search.choice(['gini', 'entropy'])",
            )
        for value in self.values:
            if value is not None and not isinstance(value, builtins.str | _Int | _Float):
                raise DefinitionError(
                    f"search choice: {value!r} is a {type(value).__name__}",
                    hint="give texts, numbers, booleans or None",
                )


def int(low: _Int, high: _Int, *, log: bool = False) -> Range:
    """Whole numbers from the smallest to the greatest, both among them.

    Args:
        low: The smallest.
        high: The greatest.
        log: Whether ten times as much counts as one step.

    Example:
        >>> int(8, 128).high
        128
    """
    return Range("int", low, high, log)


def float(low: _Float, high: _Float, *, log: bool = False) -> Range:
    """Numbers from the smallest to the greatest.

    Args:
        low: The smallest.
        high: The greatest.
        log: Whether ten times as much counts as one step, as for learning rates.

    Example:
        >>> float(1e-3, 0.3, log=True).log
        True
    """
    return Range("float", low, high, log)


def choice(values: Sequence[Any]) -> Range:
    """One of several values.

    Args:
        values: Texts, numbers, booleans or None; two or more.

    Example:
        >>> choice(["gini", "entropy"]).values
        ['gini', 'entropy']
    """
    return Range("choice", values=values)
