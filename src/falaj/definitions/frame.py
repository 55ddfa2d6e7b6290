"""Frame: a table as Arrow, pandas or polars has it, given in the form that a step asks for.

No dataframe library is imported here: whoever holds a frame, or asks for one, has loaded its library already.
"""

import sys
from typing import Any

from falaj.kernel.errors import InputError

_FORMS = {
    ("pyarrow.lib", "Table"): "arrow",
    ("pandas.core.frame", "DataFrame"): "pandas",
    ("pandas", "DataFrame"): "pandas",
    ("polars.dataframe.frame", "DataFrame"): "polars",
}


def frame_form(kind: object) -> str:
    """Return "arrow", "pandas" or "polars" for a class of tables, and nothing for any other.

    Example:
        >>> frame_form(dict), frame_form(list[int])
        ('', '')
    """
    if not isinstance(kind, type):
        return ""
    return _FORMS.get((kind.__module__, kind.__qualname__), "")


def as_frame(value: Any, kind: type) -> Any:
    """Return a table in the form of a class.

    Args:
        value: An Arrow table, or a pandas or polars frame.
        kind: One of their classes.

    Raises:
        InputError: The value is no table.
    """
    have, want = frame_form(type(value)), frame_form(kind)
    if not have:
        raise InputError(
            f"a {type(value).__name__} stands where a table belongs", hint="give an Arrow table or a frame"
        )
    if have == want:
        return value
    arrow = value if have == "arrow" else to_arrow(value)
    if want == "arrow":
        return arrow
    return arrow.to_pandas() if want == "pandas" else sys.modules["polars"].from_arrow(arrow)


def to_arrow(value: Any) -> Any:
    """Return a pandas or polars frame as an Arrow table.

    Raises:
        ImportError: PyArrow is not installed.
    """
    if frame_form(type(value)) == "polars":
        return value.to_arrow()
    import importlib

    return importlib.import_module("pyarrow").Table.from_pandas(value)
