"""Known labels: how many examples of a label source a training could learn from by now."""

import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.model import Label
from falaj.lifecycle.rooms import Rooms

_EVENT = "_event_ts"


def known_labels(rooms: Rooms, label: Label, version: int | None = None) -> int:
    """Return how many rows have a label that is mature; an id counts once, however often it was sent or corrected.

    A label whose event is younger than its delay, seen from the source's latest event, is in no training set yet
    (`examples`), and does not count: what waits for new labels waits for what a training would learn from.

    Args:
        rooms: The project.
        label: The source and its column.
        version: The source's table version; the present one by default.
    """
    source, usable = label.source, pc.field(label.column).is_valid()
    rows = rooms.tables.read(f"source/{source.name}", version=version)
    if label.delay_us:
        newest = pc.max(rows.to_table(columns=[_EVENT]).column(_EVENT)).cast(pa.timestamp("us", "UTC"))
        if newest.as_py() is None:
            return 0
        bound = pa.scalar(newest.cast(pa.int64()).as_py() - label.delay_us).cast(pa.timestamp("us", "UTC"))
        usable &= pc.field(_EVENT) <= bound
    if source.id is None:
        return int(rows.count_rows(filter=usable))
    ids = rows.to_table(columns=[source.id], filter=usable).column(source.id)
    return int(pc.count_distinct(ids).as_py()) + int(ids.null_count)
