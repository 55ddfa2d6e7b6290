"""Aggregation: what a feature view computes from its source's rows."""

from typing import Literal

import msgspec

from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name

Function = Literal["column", "count", "sum", "mean", "min", "max", "std", "last"]
ARITHMETIC: tuple[str, ...] = ("sum", "mean", "std")


class Aggregation(msgspec.Struct, frozen=True):
    """One feature of a view: a plain column, or a function over the exact sliding window `[T - window, T)`.

    Attributes:
        function: Which function; "column" takes the latest row's value.
        column: The source column it reads; None only for count of rows.
        window: The window's length as written, or None (last only: the view's ttl bounds it).
    """

    function: Function
    column: str | None = None
    window: str | None = None

    def __post_init__(self) -> None:
        if self.column is not None:
            check_name("column", self.column)
        elif self.function != "count":
            raise DefinitionError(f"{self.function} needs a column", hint=f"write fj.{self.function}('amount', ...)")
        if self.window is not None:
            positive_duration_us(self.window, field=f"{self.function} window")
        elif self.function not in ("column", "last"):
            raise DefinitionError(
                f"{self.function}({self.column or ''}) needs a window", hint="add window='1h', '7d' or the like"
            )

    @property
    def window_us(self) -> int | None:
        """The window's length in microseconds."""
        return None if self.window is None else positive_duration_us(self.window)


def column(name: str) -> Aggregation:
    """Take the column's value in the latest row with `T - ttl <= event time <= T`."""
    return Aggregation("column", name)


def count(column: str | None = None, *, window: str) -> Aggregation:
    """Count rows of the window, or its non-null values of a column. No rows: 0."""
    return Aggregation("count", column, window)


def sum(column: str, *, window: str) -> Aggregation:
    """Add the non-null values of the window. None there: null."""
    return Aggregation("sum", column, window)


def mean(column: str, *, window: str) -> Aggregation:
    """Average the non-null values of the window. None there: null."""
    return Aggregation("mean", column, window)


def min(column: str, *, window: str) -> Aggregation:
    """Take the smallest non-null value of the window. None there: null."""
    return Aggregation("min", column, window)


def max(column: str, *, window: str) -> Aggregation:
    """Take the greatest non-null value of the window. None there: null."""
    return Aggregation("max", column, window)


def std(column: str, *, window: str) -> Aggregation:
    """Take the sample standard deviation (ddof = 1) of the window. Fewer than two values: null."""
    return Aggregation("std", column, window)


def last(column: str, *, window: str | None = None) -> Aggregation:
    """Take the value of the latest row before T; its null stays null.

    Without a window the view's ttl says how old that row may be.
    """
    return Aggregation("last", column, window)
