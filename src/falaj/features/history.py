"""History: what a view's entities looked like after any `ingest_seq`, from all versions of all events."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from falaj.definitions.service_spec import ViewSpec
from falaj.features.entity_key import encode_key
from falaj.features.events import Int64s, plain_columns
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.features.naive import Event, total_order
from falaj.features.rows import entity_rows

EVERYTHING = INT64_MAX - 1
"""The number after which all events are known."""

_KEPT = 4
"""Answers kept: decisions of one moment ask for the same events of a view without an entity."""


class History:
    """All versions of a source's events, by the entities of a view.

    Args:
        view: The view.
        table: Rows of its source, as it is materialised, in the order of `_ingest_seq`: of every event that matters to
            whoever asks, every version.
    """

    def __init__(self, view: ViewSpec, table: pa.Table) -> None:
        rows = entity_rows(view, table)
        self._view = view
        self._events = rows.events
        self._codes = {key: code for code, key in enumerate(rows.keys)}
        self._order = np.argsort(rows.entity, kind="stable")
        self._bounds = np.searchsorted(rows.entity[self._order], np.arange(len(rows.keys) + 1))
        self._until = _winning_until(rows.events.identity, rows.events.created, rows.events.seq)
        self._given: OrderedDict[bytes, list[Event]] = OrderedDict()

    def events(self, entity: Mapping[str, Any], seq: int, *, versions: bool = False) -> list[Event]:
        """Return an entity's events in total order as they stood when rows up to a number had been applied.

        A version counts from its own number until a better version of the same event arrives, in whatever entity.

        Args:
            entity: The entity's keys.
            seq: The number.
            versions: Give every version that had arrived, not only those that count.

        Raises:
            InputError: A key is missing or of another type.
        """
        key = encode_key(self._view, entity)
        code = None if key is None else self._codes.get(key)
        if code is None:
            return []
        rows = self._order[self._bounds[code] : self._bounds[code + 1]]
        known = self._events.seq[rows] <= seq
        if not versions:
            known &= self._until[rows] > seq
        return self._told(rows[known])

    def _told(self, rows: Int64s) -> list[Event]:
        """Return rows as events in total order; the same list when the same were just asked for."""
        asked = rows.tobytes()
        found = self._given.get(asked)
        if found is None:
            found = self._given[asked] = self._as_events(rows)
            if len(self._given) > _KEPT:
                self._given.popitem(last=False)
        return found

    def _as_events(self, rows: Int64s) -> list[Event]:
        events = self._events.take(rows)
        columns = plain_columns(self._view, events)
        found = [
            Event(ts, None if created == INT64_MIN else created, number, {n: v[i] for n, v in columns.items()})
            for i, (ts, created, number) in enumerate(
                zip(events.ts.tolist(), events.created.tolist(), events.seq.tolist(), strict=True)
            )
        ]
        return sorted(found, key=total_order)


def magnitude(values: list[Any]) -> float:
    """Return the sum of absolute values, of those that are finite: what a float's tolerance is measured by.

    Example:
        >>> magnitude([1.5, None, -2, math.nan])
        3.5
    """
    return math.fsum(abs(value) for value in values if value is not None and math.isfinite(value))


def _winning_until(identity: Any, created: Int64s, seq: Int64s) -> Int64s:
    """Return per row the number from which it no longer counts; its own where it never did."""
    until = np.full(len(seq), INT64_MAX, np.int64)
    if identity is None:
        return until
    best: dict[bytes, int] = {}
    known_at = created.tolist()
    for row, event in enumerate(identity.tolist()):
        before = best.get(event)
        if before is None:
            best[event] = row
        elif known_at[row] > known_at[before]:
            until[before] = seq[row]
            best[event] = row
        else:
            until[row] = seq[row]
    return until
