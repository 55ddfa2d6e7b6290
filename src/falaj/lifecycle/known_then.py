"""What was known then: test rows computed again, of nothing that became known after their instants."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from falaj.definitions.service_spec import ServiceSpec
from falaj.features.entity_frame import TIME_COLUMN
from falaj.lifecycle.joining import Joining
from falaj.lifecycle.rooms import Rooms
from falaj.models.judgement.leaks import LEAST_LATE
from falaj.models.leakage import count_unlike
from falaj.models.proportions import rows_for

FEWEST_ROWS = 500
MOST_ROWS = 5_000
"""Known time looks at every event of a window for every row, so that not all rows are asked about."""


def unknown_then(
    rooms: Rooms, spec: ServiceSpec, versions: Mapping[str, int], test: pa.Table, seed: int, *, late: float = 0.0
) -> tuple[int, dict[str, int]]:
    """Compute some test rows again, of what was known at their instants.

    Args:
        rooms: The project.
        spec: The model's features.
        versions: Source to the table version that the dataset was made from.
        test: The test rows.
        seed: Of the choice of rows.
        late: The share of rows that a gate allows: so many are compared as can show it, of 500 to 5,000.

    Returns:
        How many rows were compared, none where nothing is computed, and feature to those in which it is another value
        then.
    """
    rng = np.random.default_rng([seed, 5])
    wanted = min(MOST_ROWS, max(FEWEST_ROWS, rows_for(late or LEAST_LATE)), test.num_rows)
    chosen = np.sort(rng.choice(test.num_rows, wanted, replace=False))
    rows = test.take(pa.array(chosen))
    given = {TIME_COLUMN, *(key for key, _ in spec.entity_keys), *(field.name for field in spec.request)}
    computed = [name for name, _ in spec.outputs if name not in given]
    if not computed:
        return 0, {}
    frame = rows.select([name for name in rows.column_names if name in given])
    then = Joining(rooms, spec, versions, known_time=True).join(frame)
    pairs = {name: (rows.column(name).to_pylist(), then.column(name).to_pylist()) for name in computed}
    return rows.num_rows, count_unlike(pairs)
