"""Events: rows of one or many entities as arrays, ready to be stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.service_spec import ViewSpec

STORED_DTYPES: dict[str, Any] = {
    "float64": np.float64,
    "int64": np.int64,
    "timestamp": np.int64,
    "bool": np.uint8,
    "string": np.uint32,
}
Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its values and where they are not null.

    Attributes:
        values: float64, int64 (timestamps too), uint8 for bool, or uint32 for strings, which says which of `texts`;
            anything where null.
        valid: Which are not null; None when all are.
        texts: Of a column of strings, those that occur, and perhaps others.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    texts: Sequence[str] = ()

    def take(self, index: Any) -> "Column":
        """Return the rows that an index or a mask names, in its order."""
        return Column(self.values[index], None if self.valid is None else self.valid[index], self.texts)

    def plain(self) -> list[Any]:
        """Return the values as plain ones, None for null; truth values as 0 and 1."""
        values: list[Any] = self.values.tolist()
        if self.texts:
            texts = self.texts
            values = [texts[code] for code in values]
        if self.valid is None:
            return values
        return [value if there else None for value, there in zip(values, self.valid.tolist(), strict=True)]


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
    columns = tuple(Column(np.empty(0, STORED_DTYPES[dtype]), None) for _, dtype in view.columns)
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
    texts, codes = _united(parts) if any(p.texts for p in parts) else ((), [p.values for p in parts])
    values = np.concatenate(codes)
    if all(p.valid is None for p in parts):
        return Column(values, None, texts)
    masks = [np.ones(len(p.values), np.bool_) if p.valid is None else p.valid for p in parts]
    return Column(values, np.concatenate(masks), texts)


def _united(parts: Sequence[Column]) -> tuple[Sequence[str], list[NDArray[Any]]]:
    """Return the texts of several columns, each once, and the columns' values by their places among them."""
    places: dict[str, int] = {}
    codes = []
    for part in parts:
        texts, values = part.texts, part.values
        if len(texts) > len(values):  # a few rows of many: only what they use
            used, values = np.unique(values, return_inverse=True)
            texts = [texts[code] for code in used.tolist()] if texts else ()
        moved = np.array([places.setdefault(text, len(places)) for text in texts] or [0], np.uint32)
        codes.append(moved[values])
    return tuple(places), codes


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
        plain = column.plain()
        columns[name] = [None if v is None else bool(v) for v in plain] if dtype == "bool" else plain
    return columns
