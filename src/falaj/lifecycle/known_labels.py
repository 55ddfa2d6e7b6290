"""Known labels: how many examples of a label source have a label by now."""

import pyarrow.compute as pc

from falaj.definitions.model import Label
from falaj.lifecycle.rooms import Rooms


def known_labels(rooms: Rooms, label: Label, version: int | None = None) -> int:
    """Return how many rows have a label; an id counts once, however often it was sent or corrected.

    Args:
        rooms: The project.
        label: The source and its column.
        version: The source's table version; the present one by default.
    """
    source, known = label.source, pc.field(label.column).is_valid()
    rows = rooms.tables.read(f"source/{source.name}", version=version)
    if source.id is None:
        return int(rows.count_rows(filter=known))
    ids = rows.to_table(columns=[source.id], filter=known).column(source.id)
    return int(pc.count_distinct(ids).as_py()) + int(ids.null_count)
