"""Frame: rows and columns as a notebook takes them."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

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
        """Return a pandas data frame."""
        return self.table.to_pandas()

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
