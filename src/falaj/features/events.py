"""Events: rows of one or many entities as arrays, ready to be stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec

STORED_DTYPES: dict[str, Any] = {"float64": np.float64, "int64": np.int64, "timestamp": np.int64, "bool": np.uint8}
Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its values and where they are not null.

    Attributes:
        values: float64, int64 (timestamps too), uint8 for bool, or object for strings; anything where null.
        valid: Which are not null; None when all are.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None

    def take(self, index: Any) -> "Column":
        """Return the rows that an index or a mask names, in its order."""
        return Column(self.values[index], None if self.valid is None else self.valid[index])


@dataclass(frozen=True, slots=True)
class Events:
    """Events as arrays of one length.

    Attributes:
        ts: Event times, int64 microseconds.
        created: When they became known, int64 microseconds; the least int64 stands for null.
        seq: Their `ingest_seq`, int64.
        identity: 16 bytes each, dtype V16; None where the source has no identity.
        columns: The view's stored columns, in its order.
    """

    ts: Int64s
    created: Int64s
    seq: Int64s
    identity: NDArray[np.void] | None
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, index: Any) -> "Events":
        """Return the rows that an index or a mask names, in its order."""
        return Events(
            self.ts[index],
            self.created[index],
            self.seq[index],
            None if self.identity is None else self.identity[index],
            tuple(column.take(index) for column in self.columns),
        )

    def in_total_order(self) -> "Events":
        """Return them ordered by event time, created and ingest_seq."""
        if len(self) < 2:
            return self
        return self.take(np.lexsort((self.seq, self.created, self.ts)))


def empty_events(view: ViewSpec) -> Events:
    """Return no events, of the view's columns."""
    none = np.empty(0, np.int64)
    columns = tuple(Column(np.empty(0, STORED_DTYPES.get(dtype, object)), None) for _, dtype in view.columns)
    return Events(none, none, none, np.empty(0, "V16") if view.has_id else None, columns)


def concatenate(parts: Sequence[Events]) -> Events:
    """Return the events of all parts, one part after the other.

    Args:
        parts: At least one, all of the same view.
    """
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    identities = [p.identity for p in parts if p.identity is not None]
    return Events(
        np.concatenate([p.ts for p in parts]),
        np.concatenate([p.created for p in parts]),
        np.concatenate([p.seq for p in parts]),
        np.concatenate(identities) if identities else None,
        tuple(_concatenate_column([p.columns[i] for p in parts]) for i in range(len(first.columns))),
    )


def _concatenate_column(parts: Sequence[Column]) -> Column:
    values = np.concatenate([p.values for p in parts])
    if all(p.valid is None for p in parts):
        return Column(values, None)
    masks = [np.ones(len(p.values), np.bool_) if p.valid is None else p.valid for p in parts]
    return Column(values, np.concatenate(masks))


def first_versions(events: Events) -> Events:
    """Return the version that counts of every identity: the greatest created, among equals the first that arrived."""
    if events.identity is None or len(events) < 2:
        return events
    identities = events.identity.tolist()
    if len(set(identities)) == len(identities):
        return events
    best: dict[bytes, int] = {}
    rank = list(zip(events.created.tolist(), (-events.seq).tolist(), strict=True))
    for row, identity in enumerate(identities):
        known = best.setdefault(identity, row)
        if rank[row] > rank[known]:
            best[identity] = row
    return events if len(best) == len(identities) else events.take(sorted(best.values()))


def plain_columns(view: ViewSpec, events: Events) -> dict[str, list[Any]]:
    """Return each column's values in the events as plain values, None for null."""
    columns = {}
    for (name, dtype), column in zip(view.columns, events.columns, strict=True):
        values = (column.values.astype(np.bool_) if dtype == "bool" else column.values).tolist()
        if column.valid is not None:
            values = [value if there else None for value, there in zip(values, column.valid.tolist(), strict=True)]
        columns[name] = values
    return columns
