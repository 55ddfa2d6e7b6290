"""A training set from a frame: the rows that somebody asks about, with a service's features as of their instants."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.parquet as pq

from falaj.data.columns import source_table
from falaj.data.content import ContentDigest
from falaj.data.dataset import Dataset, Request
from falaj.data.sql_frame import sources_named, sql_frame
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.entity_frame import EntityFrame
from falaj.governance.access import Actor, authorise
from falaj.kernel.errors import NotFound
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.dataset import inputs_of, landed_versions, lineage_of
from falaj.lifecycle.joining import Joining
from falaj.lifecycle.rooms import Rooms

BATCH_ROWS = 500_000
"""Rows joined at once. Each join reads the sources anew, and more rows would need more memory."""


class FrameDataset:
    """Builds training sets from frames; of a frame only a batch is in memory.

    Args:
        rooms: The project.
        name: A model or a feature service; a model's name stands for its features.
        actor: Who asks.
        known_time: Take only what was known at each row's instant.
        engine: What computes the features; the settings' engine by default.

    Raises:
        NotFound: There is neither a model nor a feature service of that name.
        DataError: A source has no rows yet.
    """

    def __init__(self, rooms: Rooms, name: str, actor: Actor, *, known_time: bool = False, engine: str = "") -> None:
        self._rooms = rooms
        self._name = name
        self._actor = actor
        self._known_time = known_time
        self._spec = service_named(rooms, name)
        self._versions = landed_versions(rooms, [view.source for view in self._spec.views])
        self._joining = Joining(rooms, self._spec, self._versions, known_time=known_time, engine=engine)

    def from_sql(self, text: str) -> Dataset:
        """Build from the rows of a query over the project's sources.

        Raises:
            AccessDenied: The actor may not read a source that the query names.
            InputError: It is not one SELECT, or DuckDB refuses it.
        """
        known = self._rooms.definitions.sources
        named = sources_named(text, list(known))
        for source in named:
            authorise(self._actor, "source.read", source)
        versions = landed_versions(self._rooms, named) | self._versions
        tables = {name: self._rooms.tables.read(source_table(name), version=versions[name]) for name in named}
        schemas = self._rooms.applied.document.schemas
        with ExitStack() as kept:
            with sql_frame(text, {name: (known[name], rows) for name, rows in tables.items()}, schemas) as rows:
                frame = kept.enter_context(self._rooms.frames.keep(rows))
            return self._build(frame, versions)

    def from_frame(self, frame: str) -> Dataset:
        """Build from a frame that is kept under a name.

        Raises:
            NotFound: It is not kept.
            InputError: A row or a column cannot be used; no feature was computed.
        """
        return self._build(frame, self._versions)

    def _build(self, frame: str, versions: dict[str, int]) -> Dataset:
        return self._rooms.datasets.save(
            self._name,
            lambda: self._joined(frame),
            split={},
            spec_digest=self._spec.digest,
            request=Request(self._content(frame), self._joining.contents(), self._known_time),
            engine=self._joining.engine,
            inputs=inputs_of(versions),
            lineage=lineage_of(self._spec, versions),
            actor=self._actor,
        )

    def _content(self, frame: str) -> str:
        """Look at every row before the first is joined: a fault in the last one is found at once."""
        content: ContentDigest | None = None
        for piece in self._pieces(frame):
            content = content or ContentDigest(piece.schema)
            content.add(piece)
        assert content is not None
        return content.hexdigest()

    def _joined(self, frame: str) -> pa.RecordBatchReader:
        pieces = self._pieces(frame)
        first = self._joining.join(next(pieces))
        rows = self._rooms.frames.open(frame).metadata.num_rows

        def batches() -> Iterator[pa.RecordBatch]:
            done, joined = 0, first
            while True:
                done += joined.num_rows
                yield joined.combine_chunks().to_batches()[0] if joined.num_rows else _no_rows(joined.schema)
                self._rooms.frames.note_progress(frame, done, rows)
                piece = next(pieces, None)
                if piece is None:
                    return
                joined = self._joining.join(piece)

        return pa.RecordBatchReader.from_batches(first.schema, batches())

    def _pieces(self, frame: str) -> Iterator[pa.Table]:
        """Give the frame in the service's types, at least one piece, and that without rows where it has none."""
        fit, file = EntityFrame(self._spec).fit, self._rooms.frames.open(frame)
        yield from _pieces(file, fit)


def service_named(rooms: Rooms, name: str) -> ServiceSpec:
    """Return a feature service, or that of a model.

    Raises:
        NotFound: There is neither of that name.
    """
    services, models = rooms.applied.document.services, rooms.definitions.models
    if name in models:
        return services[models[name].features.name]
    if name not in services:
        raise NotFound(
            f"there is no model and no feature service {name!r}", hint=did_you_mean(name, [*services, *models])
        )
    return services[name]


def _pieces(file: pq.ParquetFile, fit: Callable[[pa.Table, int], pa.Table]) -> Iterator[pa.Table]:
    first = 0
    for batch in file.iter_batches(BATCH_ROWS):
        yield fit(pa.Table.from_batches([batch]), first)
        first += batch.num_rows
    if first == 0:
        yield fit(file.schema_arrow.empty_table(), 0)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
