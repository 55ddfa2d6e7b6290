"""EventSample: those of a source's rows that some decisions rest on, read without the others."""

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.definitions.service_spec import ViewSpec
from falaj.features.arrow_types import ARROW_TYPES
from falaj.features.entity_key import encode_key
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.features.rows import CREATED, EVENT_TS, INGEST_SEQ
from falaj.kernel.errors import InputError

SHIFT_US = 15 * 3_600_000_000
"""How far around an instant is read: a clock of another time zone is looked for among the reasons of a mismatch."""

_MOST_SPANS = 32


class EventSample:
    """Says which rows of a view's source some entities' features at some instants rest on.

    These are the entities' own rows, of the time that the view's windows reach where all its features have one, and
    every version of the same events: a correction may have moved one to another entity or another time.

    Args:
        view: The view.
    """

    def __init__(self, view: ViewSpec) -> None:
        self._view = view
        self._keys: dict[bytes, Mapping[str, Any]] = {}
        self._instants: set[int] = set()

    def add(self, entity: Mapping[str, Any], instants: Iterable[int]) -> None:
        """Ask for one entity's events; keys that cannot be read ask for nothing.

        Args:
            entity: The entity's keys.
            instants: What T was, and what it may have been taken for, in microseconds.
        """
        try:
            key = encode_key(self._view, entity)
        except InputError:
            return
        if key is not None:
            self._keys.setdefault(key, entity)
            self._instants.update(instants)

    def read(self, source: ds.Dataset) -> pa.Table:
        """Return the rows in the order of `_ingest_seq`, with the columns that the view reads.

        Memory grows with the rows that are asked for, not with the source.

        Args:
            source: Every row of the view's source.
        """
        names = dict.fromkeys([name for name, _ in (*self._view.keys, *self._view.inputs)])
        names |= dict.fromkeys([EVENT_TS, CREATED, INGEST_SEQ])
        if self._view.id_column is not None:
            names[self._view.id_column] = None
        columns = [name for name in names if name in source.schema.names]
        if not self._keys:
            return source.schema.empty_table().select(columns)
        wanted = self._wanted(source.schema)
        rows = self._narrowed(_scan(source, columns, wanted))
        if wanted is not None and self._view.id_column in columns:
            rows = _with_versions(source, rows, self._view.id_column, columns)
        return rows.sort_by(INGEST_SEQ)

    def _wanted(self, schema: pa.Schema) -> ds.Expression | None:
        parts = []
        for name, dtype in self._view.keys:
            # A column that is gone or of another type is refused by name where the rows are used.
            if name in schema.names and schema.field(name).type == ARROW_TYPES[dtype]:
                values = pa.array([entity[name] for entity in self._keys.values()], ARROW_TYPES[dtype])
                parts.append(ds.field(name).isin(values))
        spans = self._spans()
        if spans is not None:
            at = ds.field(EVENT_TS)
            inside = [(at >= _instant(since)) & (at < _instant(until)) for since, until in spans]
            parts.append(functools.reduce(operator.or_, inside))
        return functools.reduce(operator.and_, parts) if parts else None

    def _spans(self) -> list[tuple[int, int]] | None:
        """Return the times that the windows reach at the instants; None where a feature has no window."""
        view = self._view
        windows = [(f.window_us, f.hop_us or 0) for f in view.features]
        if view.timeless or any(window is None for window, _ in windows):
            return None
        reach = max((window or 0) + hop for window, hop in windows) + 2 * view.delay_us + SHIFT_US
        found: list[tuple[int, int]] = []
        for at_us in sorted(self._instants):
            since, until = at_us - reach, at_us + SHIFT_US
            if found and since <= found[-1][1]:
                found[-1] = (found[-1][0], until)
            else:
                found.append((since, until))
        return found if len(found) <= _MOST_SPANS else [(found[0][0], found[-1][1])]

    def _narrowed(self, rows: pa.Table) -> pa.Table:
        """Leave out what has one key of this entity and another key of that."""
        names = [name for name, _ in self._view.keys]
        if len(names) < 2 or not set(names) <= set(rows.column_names):
            return rows
        keys = pa.table({name: pa.array([e[name] for e in self._keys.values()], t) for name, t in self._key_types()})
        if any(rows.schema.field(name).type != keys.schema.field(name).type for name in names):
            return rows
        return rows.join(keys, names, join_type="left semi")

    def _key_types(self) -> list[tuple[str, pa.DataType]]:
        return [(name, ARROW_TYPES[dtype]) for name, dtype in self._view.keys]


def _with_versions(source: ds.Dataset, rows: pa.Table, id_column: str, columns: list[str]) -> pa.Table:
    """Add every other version of the rows' events."""
    ids = pc.unique(rows[id_column]).drop_null()
    versions = _scan(source, columns, ds.field(id_column).isin(ids))
    others = versions.filter(pc.invert(pc.is_in(versions[INGEST_SEQ], rows[INGEST_SEQ].combine_chunks())))
    return pa.concat_tables([rows, others])


def _scan(source: ds.Dataset, columns: list[str], wanted: ds.Expression | None) -> pa.Table:
    # A few batches at a time: what is read ahead and then dropped would be most of the memory.
    return source.scanner(
        columns=columns, filter=wanted, batch_size=1 << 16, batch_readahead=2, fragment_readahead=1
    ).to_table()


def _instant(at_us: int) -> pa.Scalar:
    return pa.scalar(min(max(at_us, INT64_MIN), INT64_MAX), ARROW_TYPES["timestamp"])
