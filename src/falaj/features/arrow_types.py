"""ArrowTypes: the Arrow type of each type that a feature may have."""

from typing import Any

import pyarrow as pa

from falaj.data.columns import ARROW_TYPES as COLUMN_TYPES

ARROW_TYPES: dict[str, Any] = dict(COLUMN_TYPES) | {
    f"list[{dtype}]": pa.list_(arrow) for dtype, arrow in COLUMN_TYPES.items()
}
