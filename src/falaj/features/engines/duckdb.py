"""DuckDB: the engine that comes with Falaj. It works in this process and spills to disk what memory does not hold."""

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from falaj.definitions.service_spec import ViewSpec
from falaj.features.dialect import DIALECTS
from falaj.features.engines.answer import asked_table, chunk, in_order, named_columns, rows_of
from falaj.features.engines.port import Questions
from falaj.features.engines.support import check_views
from falaj.features.known_rows import known_rows
from falaj.features.latest_features import latest_features
from falaj.features.point_in_time import derived_sql, extremes_sql, last_n_sql, one_row_sql, quoted, windowed_sql
from falaj.features.point_in_time_join import events_sql as versions_sql
from falaj.features.point_in_time_join import features_sql
from falaj.features.source_events import BUDGET_BYTES, SourceEvents, superseded_sql
from falaj.kernel.errors import DataError, StorageError

_DIALECT = DIALECTS["duckdb"]
_SAFE_SQUARE = 1e100
"""Above this, squares of deviations may overflow in the engine, and the column is scaled down first."""


@dataclass(frozen=True, slots=True)
class DuckDbEngine:
    """Computes features in this process.

    Attributes:
        memory_gib: Memory that it may take; what needs more goes to disk. None is half of the machine's.
        threads: Threads that it may use; None for one per core.
        spill: The folder for what memory does not hold; None for the system's temporary folder.
    """

    memory_gib: float | None = None
    threads: int | None = None
    spill: str | None = None

    @property
    def name(self) -> str:
        """How settings and documents call it."""
        return "duckdb"

    def check(self, views: Sequence[ViewSpec]) -> None:
        """Raise if it cannot compute a view."""
        check_views(views, _DIALECT)

    def answer(
        self, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any], *, known_time: bool = False
    ) -> dict[str, Any]:
        """Return the features of every view; see `Engine`."""
        self.check(views)
        with (
            tempfile.TemporaryDirectory(prefix="falaj-duckdb-", dir=self.spill) as folder,
            duckdb.connect(":memory:", config=self.settings(folder)) as engine,
        ):
            try:
                if known_time:
                    return _known_features(engine, views, questions, tables)
                return _features(_Opened(engine, self.budget_bytes), views, questions, tables)
            except pa.ArrowException as error:
                raise DataError(f"the rows of the sources cannot be used: {error}") from error
            except duckdb.OutOfMemoryException as error:
                raise StorageError(
                    f"DuckDB ran out of memory or of disk: {error}", hint="raise features.memory_gib, or free disk"
                ) from error

    @property
    def budget_bytes(self) -> int:
        """Of a source's events, how many are held at once; what needs more is read in parts."""
        return BUDGET_BYTES if self.memory_gib is None else min(BUDGET_BYTES, int(self.memory_gib * (1 << 28)))

    def settings(self, folder: str) -> dict[str, str]:
        """Return what a connection is opened with, to spill into a folder."""
        settings = {
            "autoinstall_known_extensions": "false",
            "temp_directory": folder,
            "preserve_insertion_order": "false",  # each answer says which question it is for
            "memory_limit": f"{_half_kib()}KiB" if self.memory_gib is None else f"{self.memory_gib}GiB",
        }
        if self.threads is not None:
            settings["threads"] = str(self.threads)
        return settings


def _half_kib() -> int:
    """Return half of the memory that this process may have, in KiB: the machine's, or its container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = ""
    return min(total, int(limit) if limit.isdigit() else total) // 2048


class _Opened(NamedTuple):
    """A connection, and how many bytes of events it may be given at once."""

    engine: Any
    budget_bytes: int


def _known_features(
    engine: Any, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any]
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for view in views:
        asked = asked_table(view, questions)
        found: dict[str, Any] = {}
        with _registered(engine, view, source_rows=rows_of(view, tables), asked=asked):
            events = versions_sql(view, "source_rows", _DIALECT, known_time=True)
            engine.execute(f"CREATE OR REPLACE TEMP TABLE known AS {events}").fetchall()
            if not view.keys:  # a join would multiply all rows by all questions
                ordered = engine.sql("SELECT * EXCLUDE (_seq) FROM known ORDER BY _ts, _created, _seq")
                found = known_rows(view, ordered.to_arrow_table(), asked["_t"].to_numpy())
            rest = msgspec.structs.replace(view, features=tuple(f for f in view.features if f.name not in found))
            if rest.features:
                answer = engine.sql(features_sql(rest, "known", _DIALECT, known_time=True)).to_arrow_table()
                found |= in_order(answer, "_question", questions.rows)
        columns |= named_columns(view, found)
    return columns


@contextmanager
def _registered(engine: Any, view: ViewSpec, **relations: Any) -> Iterator[None]:
    """Let the engine read Arrow data under names, and say whose rows it was where it cannot use them."""
    for name, data in relations.items():
        engine.register(name, data)
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise DataError(f"the rows of source {view.source!r} cannot be used: {error}") from error
    finally:
        for name in relations:
            engine.unregister(name)


def _features(
    opened: _Opened, views: Sequence[ViewSpec], questions: Questions, tables: Mapping[str, Any]
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    until_us = pc.max(questions.times_us).as_py()
    loaded: dict[tuple[str, str | None], tuple[SourceEvents, int, pa.Table | None]] = {}
    for view in views:
        place = (view.source, view.id_column)
        if place not in loaded:
            source = _source_events(opened.engine, views, view, tables, None if view.timeless else until_us)
            parts = source.parts(opened.budget_bytes)
            loaded[place] = source, parts, source.all() if parts == 1 else None
        source, parts, whole = loaded[place]
        asked = asked_table(view, questions)
        if whole is None and view.keys:
            found = _in_parts(opened.engine, view, source, parts, asked)
        else:  # of all rows together there is but one part
            found = _view_features(opened.engine, view, source.all() if whole is None else whole, asked)
        columns |= named_columns(view, found)
    return columns


def _source_events(
    engine: Any, views: Sequence[ViewSpec], view: ViewSpec, tables: Mapping[str, Any], until_us: int | None
) -> SourceEvents:
    wanted: dict[str, str] = {}
    for other in views:
        if other.source == view.source:
            wanted |= dict(other.keys) | dict(other.inputs)
    rows = rows_of(view, tables)
    superseded = np.empty(0, np.int64)
    if view.id_column is not None:
        with _registered(engine, view, source_rows=rows):
            found = engine.sql(superseded_sql("source_rows", quoted(view.id_column))).to_arrow_table()
            superseded = found["_seq"].to_numpy()
    return SourceEvents(rows, wanted, superseded, until_us)


def _in_parts(engine: Any, view: ViewSpec, source: SourceEvents, parts: int, asked: pa.Table) -> dict[str, Any]:
    """Return a view's features by name, one part of its keys after the other, so that memory follows the part."""
    counts = [len(pc.unique(asked[f"_k{i}"])) for i in range(len(view.keys))]
    widest = int(np.argmax(counts))
    coded = pc.dictionary_encode(chunk(asked[f"_k{widest}"]))
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    answers, rows = [], []
    for part in range(parts):
        here = np.flatnonzero(codes % parts == part)
        values = coded.dictionary.take(pa.array(np.arange(part, len(coded.dictionary), parts)))
        question = asked.take(pa.array(here)).set_column(0, "_question", pa.array(np.arange(len(here))))
        answers.append(pa.table(_view_features(engine, view, source.of(view.keys[widest][0], values), question)))
        rows.append(here)
    back = np.empty(asked.num_rows, np.int64)
    back[np.concatenate(rows)] = np.arange(asked.num_rows)
    answer = pa.concat_tables(answers).combine_chunks().take(pa.array(back))
    return {name: answer[name] for name in answer.column_names}


def _view_features(engine: Any, view: ViewSpec, events: pa.Table, asked: pa.Table) -> dict[str, Any]:
    """Return a view's features by name, each as long as what is asked."""
    columns = latest_features(view, events, asked)
    rest = msgspec.structs.replace(view, features=tuple(f for f in view.features if f.name not in columns))
    if not rest.features:
        return columns
    with _registered(engine, view, asked=asked, events=events):
        derived = derived_sql(view, "events")
        floats = [name for name, dtype in view.columns if dtype == "float64"]
        nonfinite, huge = _extremes(engine, derived, floats)
        windowed = windowed_sql(rest, derived, nonfinite, huge)
        statements = [
            *([] if windowed is None else [windowed]),
            *one_row_sql(rest, derived),
            *last_n_sql(rest, derived),
        ]
        for statement in statements:
            columns |= in_order(engine.sql(statement).to_arrow_table(), "_question", asked.num_rows)
    return columns


def _extremes(engine: Any, events: str, floats: list[str]) -> tuple[set[str], dict[str, float]]:
    """Return which float columns hold NaN or infinities, and which need scaling before they are squared."""
    if not floats:
        return set(), {}
    answer = engine.execute(extremes_sql(events, floats)).fetchall()[0]
    nonfinite, huge = set(), {}
    for i, name in enumerate(floats):
        if answer[2 * i]:
            nonfinite.add(name)
        if (answer[2 * i + 1] or 0.0) > _SAFE_SQUARE:
            huge[name] = math.ldexp(1.0, min(math.frexp(answer[2 * i + 1])[1], 1023))  # the greatest power there is
    return nonfinite, huge
