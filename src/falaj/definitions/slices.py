"""Slices: the columns by whose values test rows are looked at part by part."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name

Slices = Sequence[str] | Mapping[str, Sequence[str]]
"""Columns, each value of which is judged alone; or columns with the values that must be there.

A column is one of the label's source, or a feature as `view:feature`; it need not be an input of the model.
"""


def sliced(slices: Slices) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give each column with the values that must be there, none of which are named where all that occur are meant.

    Example:
        >>> list(sliced(["country"])), list(sliced({"country": ["OM"]}))
        ([('country', ())], [('country', ('OM',))])
    """
    if isinstance(slices, Mapping):
        yield from ((column, tuple(values)) for column, values in slices.items())
    else:
        yield from ((column, ()) for column in slices)


def column_of(name: str) -> str:
    """Return the column of a dataset that a slice or an attribute means.

    Example:
        >>> column_of("customer:age"), column_of("sex")
        ('customer__age', 'sex')
    """
    return name.replace(":", "__")


def check_slices(where: str, slices: Slices) -> None:
    """Raise unless the columns bear names.

    Raises:
        DefinitionError: They are one text, or a name is none.
    """
    if isinstance(slices, str):
        raise DefinitionError(f"{where}: slices {slices!r} is a text", hint=f"write slices=[{slices!r}]")
    for column, _ in sliced(slices):
        check_column(f"{where} slice", column)


def check_column(where: str, column: str) -> None:
    """Raise unless the text may be a column, or a feature as `view:feature`.

    Raises:
        DefinitionError: It may not.
    """
    for part in column.split(":", 1) if isinstance(column, str) else [column]:
        check_name(where, part)


def plain_slices(slices: Slices) -> Slices:
    """Return slices with tuples in place of lists, and values as the texts that name them."""
    if isinstance(slices, Mapping):
        return {column: tuple(value_text(value) for value in values) for column, values in slices.items()}
    return slices if isinstance(slices, str) else tuple(slices)


def value_text(value: Any) -> str:
    """Return the text that names a slice or a group: one for equal values of different types, and no two for one.

    Example:
        >>> [value_text(value) for value in (3, 3.0, 0.1, True, "OM", 9400001.0, 9400002.0)]
        ['3', '3', '0.1', 'true', 'OM', '9400001', '9400002']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value)
    # Never rounded: values that differ in their last digit are different slices.
    return str(int(value)) if value.is_integer() else repr(float(value))
