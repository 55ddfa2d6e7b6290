"""History: what a view's entities looked like after any `ingest_seq`, from all versions of all events."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from falaj.definitions.service_spec import ViewSpec
from falaj.features.entity_key import encode_key
from falaj.features.events import Int64s, plain_columns
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.features.naive import ALWAYS, Event
from falaj.features.rows import entity_rows

EVERYTHING = INT64_MAX - 1
"""The number after which all events are known."""


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
        events = rows.events
        self._order = np.lexsort((events.seq, events.created, events.ts, rows.entity))  # each entity's in total order
        self._bounds = np.searchsorted(rows.entity[self._order], np.arange(len(rows.keys) + 1))
        self._until = _winning_until(events.identity, events.created, events.seq)
        self._made: tuple[int, list[Event | None]] = -1, []
        self._given: tuple[int, bytes, list[Event]] = -1, b"", []

    def events(
        self, entity: Mapping[str, Any], seq: int, *, versions: bool = False, within: tuple[int, int] = ALWAYS
    ) -> list[Event]:
        """Return an entity's events in total order as they stood when rows up to a number had been applied.

        A version counts from its own number until a better version of the same event arrives, in whatever entity.

        Args:
            entity: The entity's keys.
            seq: The number.
            versions: Give every version that had arrived, not only those that count.
            within: Only those that happened from the first instant on and before the second, in microseconds.

        Returns:
            The events; the very same list when the same ones were asked for just before.

        Raises:
            InputError: A key is missing or of another type.
        """
        key = encode_key(self._view, entity)
        code = None if key is None else self._codes.get(key)
        if code is None:
            return []
        rows = self._order[self._bounds[code] : self._bounds[code + 1]]
        begin, end = np.searchsorted(self._events.ts[rows], within)
        inside = rows[begin:end]
        known = self._events.seq[inside] <= seq
        if not versions:
            known &= self._until[inside] > seq
        places = np.flatnonzero(known) + begin
        asked = places.tobytes()
        if self._given[:2] != (code, asked):
            self._given = code, asked, self._told(code, rows, places)
        return self._given[2]

    def _told(self, code: int, rows: Int64s, places: Int64s) -> list[Event]:
        """Return the events at places among an entity's rows, each made once while the entity is asked about."""
        if self._made[0] != code:
            self._made = code, [None] * len(rows)
        made = self._made[1]
        missing = [place for place in places.tolist() if made[place] is None]
        for place, event in zip(missing, self._as_events(rows[missing]), strict=True):
            made[place] = event
        return [event for place in places.tolist() if (event := made[place]) is not None]

    def _as_events(self, rows: Int64s) -> list[Event]:
        events = self._events.take(rows)
        columns = plain_columns(self._view, events)
        return [
            Event(ts, None if created == INT64_MIN else created, number, {n: v[i] for n, v in columns.items()})
            for i, (ts, created, number) in enumerate(
                zip(events.ts.tolist(), events.created.tolist(), events.seq.tolist(), strict=True)
            )
        ]


def magnitude(values: list[Any]) -> float:
    """Return the sum of absolute values, of those that are finite: what a float's tolerance is measured by.

    It is infinite where floats cannot hold it.

    Example:
        >>> magnitude([1.5, None, -2, math.nan])
        3.5
    """
    try:
        return math.fsum(abs(value) for value in values if value is not None and math.isfinite(value))
    except OverflowError:
        return math.inf


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
