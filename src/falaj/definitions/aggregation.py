"""Aggregation: what a feature view computes from its source's rows."""

from typing import Any, Literal

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.expression import parse
from falaj.kernel.duration import positive_duration_us
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name

Function = Literal[
    "column",
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "std",
    "var",
    "first",
    "last",
    "last_non_null",
    "last_n",
    "count_distinct",
    "quantile",
]
ARITHMETIC: tuple[str, ...] = ("sum", "mean", "std", "var", "quantile")
UNWINDOWED: tuple[str, ...] = ("column", "first", "last", "last_non_null")
"""What needs no window: it is one row's value."""
COUNTS: tuple[str, ...] = ("count", "count_distinct")
"""What is 0, and not null, where there is nothing."""
MOST_VALUES = 1_000
"""The greatest n of last_n: more are a table and not a feature."""
SKETCHES = {"count_distinct": "hll", "quantile": "kll"}
"""The sketch that each function may name."""


class Sawtooth(msgspec.Struct, metaclass=Declared, frozen=True):
    """A window whose beginning moves in hops: it takes `floor(T - length, hop) <= event time < T`.

    The online store then keeps one tile per hop and the events of the last, instead of every event of the window.

    Attributes:
        length: The least length of the window.
        hop: How far its beginning moves at once, counted from 1970-01-01T00:00:00Z.
    """

    length: str
    hop: str

    def __post_init__(self) -> None:
        length_us = positive_duration_us(self.length, field="sawtooth length")
        if positive_duration_us(self.hop, field="sawtooth hop") > length_us:
            raise DefinitionError(
                f"sawtooth hop {self.hop!r} is longer than the window {self.length!r}", hint="give a shorter hop"
            )


class Aggregation(msgspec.Struct, metaclass=Declared, frozen=True):
    """One feature of a view: a plain column, or a function over the exact sliding window `[T - window, T)`.

    Attributes:
        function: Which function; "column" takes the latest row's value.
        column: The source column it reads; None only for count of rows.
        window: The window's length as written, or None for one row's value, whose age the view's ttl bounds.
        where: Only rows for which this SQL expression is true.
        hop: How far the window's beginning moves at once; None for an exact sliding window.
        n: How many values last_n takes.
        q: Which quantile, between 0 and 1.
        sketch: The sketch that may stand for the values: "hll" or "kll".
    """

    function: Function
    column: str | None = None
    window: str | None = None
    where: str | None = None
    hop: str | None = None
    n: int | None = None
    q: float | None = None
    sketch: str | None = None

    def __post_init__(self) -> None:
        if self.column is not None:
            check_name("column", self.column)
        elif self.function != "count":
            raise DefinitionError(f"{self.function} needs a column", hint=f"write fj.{self.function}('amount', ...)")
        if self.window is not None:
            positive_duration_us(self.window, field=f"{self.function} window")
        elif self.function not in UNWINDOWED:
            raise DefinitionError(
                f"{self.function}({self.column or ''}) needs a window", hint="add window='1h', '7d' or the like"
            )
        if self.where is not None:
            parse(self.where, field=f"{self.function} where")
        self._check_hop()
        self._check_parameters()

    def _check_hop(self) -> None:
        if self.hop is None:
            return
        if self.window is None:
            raise DefinitionError(f"{self.function}({self.column}) has a hop and no window", hint="add window=...")
        Sawtooth(self.window, self.hop)
        if self.function == "last_n":
            raise DefinitionError("last_n takes an exact sliding window only", hint="give window='7d' or the like")
        if self.function == "quantile" and self.sketch is None:
            raise DefinitionError(
                f"quantile({self.column}) of a sawtooth window cannot be exact: tiles keep no values",
                hint="add sketch='kll', or give an exact sliding window",
            )

    def _check_parameters(self) -> None:
        wanted = {"last_n": "n", "quantile": "q"}.get(self.function)
        for name in ("n", "q"):
            if (getattr(self, name) is None) == (name == wanted):
                said = "needs" if name == wanted else "takes no"
                raise DefinitionError(f"{self.function}({self.column or ''}) {said} {name}")
        if self.n is not None and (isinstance(self.n, bool) or not 1 <= self.n <= MOST_VALUES):
            raise DefinitionError(f"last_n n = {self.n!r}", hint=f"give a whole number from 1 to {MOST_VALUES}")
        if self.q is not None and not 0 <= self.q <= 1:
            raise DefinitionError(f"quantile q = {self.q!r}", hint="give a number from 0 to 1, like 0.95")
        if self.sketch is not None and self.sketch != SKETCHES.get(self.function):
            known = SKETCHES.get(self.function)
            raise DefinitionError(
                f"{self.function} sketch = {self.sketch!r} does not exist",
                hint="leave it out" if known is None else f"write sketch={known!r}, or leave it out",
            )

    @property
    def window_us(self) -> int | None:
        """The window's length in microseconds."""
        return None if self.window is None else positive_duration_us(self.window)

    @property
    def hop_us(self) -> int | None:
        """How far the window's beginning moves at once, in microseconds."""
        return None if self.hop is None else positive_duration_us(self.hop)


Window = str | Sawtooth


def sawtooth(length: str, *, hop: str) -> Sawtooth:
    """Declare a window whose beginning moves in hops, where memory matters more than an exact beginning.

    Example:
        >>> sum("amount", window=sawtooth("30d", hop="1h")).hop
        '1h'
    """
    return Sawtooth(length, hop)


def column(name: str) -> Aggregation:
    """Take the column's value in the latest row with `T - ttl <= event time <= T`."""
    return Aggregation("column", name)


def count(column: str | None = None, *, window: Window, where: str | None = None) -> Aggregation:
    """Count rows of the window, or its non-null values of a column. No rows: 0."""
    return _windowed("count", column, window, where)


def sum(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Add the non-null values of the window. None there: null."""
    return _windowed("sum", column, window, where)


def mean(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Average the non-null values of the window. None there: null."""
    return _windowed("mean", column, window, where)


def min(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Take the smallest non-null value of the window. None there: null."""
    return _windowed("min", column, window, where)


def max(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Take the greatest non-null value of the window. None there: null."""
    return _windowed("max", column, window, where)


def std(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Take the sample standard deviation (ddof = 1) of the window. Fewer than two values: null."""
    return _windowed("std", column, window, where)


def var(column: str, *, window: Window, where: str | None = None) -> Aggregation:
    """Take the sample variance (ddof = 1) of the window. Fewer than two values: null."""
    return _windowed("var", column, window, where)


def first(column: str, *, window: Window | None = None, where: str | None = None) -> Aggregation:
    """Take the value of the earliest row before T; its null stays null.

    Without a window the view's ttl says how old that row may be; without a ttl it is the first row there ever was.
    """
    return _windowed("first", column, window, where)


def last(column: str, *, window: Window | None = None, where: str | None = None) -> Aggregation:
    """Take the value of the latest row before T; its null stays null.

    Without a window the view's ttl says how old that row may be.
    """
    return _windowed("last", column, window, where)


def last_non_null(column: str, *, window: Window | None = None, where: str | None = None) -> Aggregation:
    """Take the latest value before T that is not null.

    Without a window the view's ttl says how old its row may be.
    """
    return _windowed("last_non_null", column, window, where)


def last_n(column: str, n: int, *, window: str, where: str | None = None) -> Aggregation:
    """Take the values of the latest n rows of the window, the oldest first; nulls stay. No rows: null.

    It is a list, so a model reads it through an on-demand view, which gets an array of lists.
    """
    return Aggregation("last_n", column, window, where, n=n)


def count_distinct(column: str, *, window: Window, where: str | None = None, sketch: str | None = None) -> Aggregation:
    """Count the distinct non-null values of the window. None there: 0.

    Args:
        column: Which column.
        window: Its length, or a sawtooth.
        where: Only rows for which this is true.
        sketch: "hll" lets tiles of a sawtooth window keep a HyperLogLog sketch, whose relative standard error is 1.6 %.
    """
    return _windowed("count_distinct", column, window, where, sketch=sketch)


def quantile(
    column: str, q: float, *, window: Window, where: str | None = None, sketch: str | None = None
) -> Aggregation:
    """Take a quantile of the window's non-null values, interpolated linearly. None there: null.

    Args:
        column: Which column.
        q: Which quantile, from 0 to 1; 0.5 is the median.
        window: Its length, or a sawtooth, which needs a sketch.
        where: Only rows for which this is true.
        sketch: "kll" lets tiles of a sawtooth window keep a KLL sketch, whose rank error is 1.33 % (k = 200).
    """
    return _windowed("quantile", column, window, where, q=float(q), sketch=sketch)


def _windowed(
    function: Function, column: str | None, window: Window | None, where: str | None, **more: Any
) -> Aggregation:
    if isinstance(window, Sawtooth):
        return Aggregation(function, column, window.length, where, hop=window.hop, **more)
    return Aggregation(function, column, window, where, **more)
