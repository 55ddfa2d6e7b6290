"""Frame: rows and columns as a notebook takes them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.kernel.errors import ExtraMissing

if TYPE_CHECKING:
    import pandas as pd


class Frame:
    """Rows and columns, held as Arrow, given as what you work with.

    Args:
        table: The rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table."""
        return self.table

    def to_pandas(self) -> "pd.DataFrame":
        """Return a pandas data frame.

        Whole numbers and truth values with nulls come as pandas' nullable types (`Int64`, `boolean`), because its own
        have no null: they would become floats, which round whole numbers beyond 2**53, or objects.

        Raises:
            ExtraMissing: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ExtraMissing("pandas is not installed", hint="pip install pandas") from None
        with_nulls = [field.name for field in self.table.schema if _loses_nulls(self.table[field.name])]
        frame = self.table.drop_columns(with_nulls).to_pandas()
        for name in with_nulls:
            frame.insert(self.table.column_names.index(name), name, _nullable(self.table[name], pd))
        return frame

    def to_polars(self) -> Any:
        """Return a Polars data frame.

        Raises:
            ExtraMissing: Polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise ExtraMissing("Polars is not installed", hint="pip install polars") from None
        return polars.from_arrow(self.table)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"Frame({self.table.num_rows} rows: {', '.join(self.table.column_names)})"


class OnlineFrame(Frame):
    """Features that were read online, and why each has the value that it has.

    Args:
        table: Per row its keys and features.
        statuses: The same rows and columns, with a status in place of each feature: PRESENT, NULL_VALUE, NOT_FOUND,
            OUTSIDE_MAX_AGE or OUTSIDE_RETENTION.

    Attributes:
        statuses: That frame.

    Example:
        >>> read = OnlineFrame(pa.table({"card": ["c1"], "v__n": [0]}), Frame(pa.table({"v__n": ["NOT_FOUND"]})))
        >>> read.statuses.to_arrow()["v__n"].to_pylist()
        ['NOT_FOUND']
    """

    def __init__(self, table: pa.Table, statuses: Frame) -> None:
        super().__init__(table)
        self.statuses = statuses


def _loses_nulls(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_list(kind):
        column = pc.list_flatten(column)
        kind = column.type
    return bool(column.null_count) and bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _nullable(column: pa.ChunkedArray, pd: Any) -> Any:
    kind = column.type
    if pa.types.is_list(kind):  # as objects: NumPy would make them floats
        return pd.Series([None if v is None else np.array(v, object) for v in column.to_pylist()], dtype=object)
    name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("uint", "UInt").replace("int", "Int")
    return column.to_pandas(types_mapper={kind: pd.api.types.pandas_dtype(name)}.get)
