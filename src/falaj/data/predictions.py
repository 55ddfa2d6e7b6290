"""Predictions: logged decisions and their outcomes, from the gateways' segments into two tables, each exactly once."""

import threading
from collections.abc import Iterable
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from falaj.data import prediction_log as log
from falaj.data.prediction_log import Batch, Extent, Part
from falaj.data.prediction_table import (
    FEEDBACK,
    FEEDBACK_SCHEMA,
    PREDICTION_SCHEMA,
    PREDICTIONS,
    SEQ,
    Placed,
    block_rows,
    feedback_rows,
    prediction_rows,
    to_records,
)
from falaj.data.shadow_pairs import MOST_PAIRS, Shadowed, pair
from falaj.definitions.prediction_record import BlockRecord, EnsembleRecord, PredictionRecord, RowId
from falaj.kernel.errors import CorruptionError, NotFound
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

WRITER = "compact"
BATCH_BYTES = 64 << 20
_FIRST_SPAN = 1_000

_JOINED = """
    SELECT p.* EXCLUDE (place, _segment), f.outcome, f.at_us AS outcome_at_us, f.received_us AS outcome_received_us
    FROM (SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY _seq) AS place FROM predictions) AS p
    LEFT JOIN (
        SELECT *, row_number() OVER (PARTITION BY request_id ORDER BY at_us DESC, received_us DESC, _seq DESC) AS place
        FROM feedback
    ) AS f ON f.request_id = p.request_id AND f.place = 1
    WHERE p.place = 1
    ORDER BY p._seq
"""


class Compaction(msgspec.Struct, frozen=True):
    """What one compaction moved.

    Attributes:
        predictions: Decisions.
        feedback: Outcomes.
        segments_removed: Segments that hold nothing that is not in the tables.
    """

    predictions: int
    feedback: int
    segments_removed: int


class Predictions:
    """The logged decisions of all endpoints.

    Args:
        tables: The tables.
        folder: Where the gateways write their segments.
        db: The metadata database.
        batch_bytes: Most bytes of records that one commit moves: what is held in memory at once.
    """

    def __init__(self, tables: TableStore, folder: Path, db: Database, *, batch_bytes: int = BATCH_BYTES) -> None:
        self._tables = tables
        self._folder = folder
        self._db = db
        self._batch_bytes = batch_bytes
        self._turn = threading.Lock()

    def compact(self) -> Compaction:
        """Move every whole record that is in the segments now into the tables.

        Raises:
            CorruptionError: A segment is damaged; it is named, and the others were moved.
        """
        counts = [0, 0]
        damaged: list[CorruptionError] = []
        full = True
        with self._turn:
            while full:  # a smaller batch took all there was; what came since waits for the next call
                self._finish_pending(counts)
                damaged.clear()
                parts, extent = self._next_parts(damaged)
                with self._db.write() as connection:
                    batch = log.begin_batch(connection, extent.records, parts) if parts else None
                if batch is not None:
                    self._move(batch, counts)
                if batch is not None or not parts:
                    full = extent.size_bytes >= self._batch_bytes
            with self._db.write() as connection:
                removed = log.remove_compacted(connection, self._folder)
        if damaged:
            raise damaged[0]
        return Compaction(counts[0], counts[1], len(removed))

    def find(self, request_id: str) -> PredictionRecord:
        """Return a decision, compacted or not; what a shadow computed under the same request id is none.

        Raises:
            NotFound: No decision has that request id.
            CorruptionError: None was found, and a damaged segment may have it.
        """
        damaged: list[CorruptionError] = []
        found = self._find_in_segments(request_id, damaged) or self._find_in_table(request_id)
        if found is None and damaged:
            raise damaged[0]
        if found is None:
            raise NotFound(
                f"no decision has the request id {request_id!r}",
                hint="give the request_id of a prediction's answer; a row of a block is BLOCK.ROW, from 0",
            )
        return found

    def members(self, decision: PredictionRecord) -> list[PredictionRecord]:
        """Return what the members of an ensemble decided for a decision that is compacted, in the order of asking.

        Args:
            decision: The ensemble's.
        """
        rows = self._rows(PREDICTIONS, PREDICTION_SCHEMA).to_table(
            filter=(ds.field("request_id") == decision.request_id) & (ds.field("endpoint") != decision.endpoint)
        )
        return to_records(rows.sort_by(SEQ))

    def scan(self, after: int = 0, *, endpoint: str | None = None, limit: int = 10_000) -> tuple[pa.Table, int]:
        """Return compacted decisions in the order of compaction, and the cursor to go on from.

        Args:
            after: The cursor of the answer before; 0 at first.
            endpoint: Only this endpoint's.
            limit: Most rows.

        Returns:
            Rows of `PREDICTION_SCHEMA`, and the cursor that accounts for them.
        """
        return self._scan(PREDICTIONS, PREDICTION_SCHEMA, after, endpoint, limit)

    def scan_feedback(self, after: int = 0, *, limit: int = 10_000) -> tuple[pa.Table, int]:
        """Return compacted outcomes in the order of compaction, and the cursor to go on from; as `scan` does."""
        return self._scan(FEEDBACK, FEEDBACK_SCHEMA, after, None, limit)

    def newest(self, limit: int, *, endpoint: str | None = None) -> pa.Table:
        """Return the newest compacted decisions, oldest first; what is older is not read.

        Args:
            limit: Most rows.
            endpoint: Only this endpoint's.

        Returns:
            Rows of `PREDICTION_SCHEMA`.
        """
        with self._db.read() as connection:  # before the rows: what it counts, the table has
            last = log.last_batch(connection, "DONE")
        until = 0 if last is None else last.first_seq + last.records - 1
        rows, span = PREDICTION_SCHEMA.empty_table(), max(limit, _FIRST_SPAN)
        while until > 0 and rows.num_rows < limit:
            wanted = (ds.field(SEQ) > until - span) & (ds.field(SEQ) <= until)
            if endpoint is not None:
                wanted &= ds.field("endpoint") == endpoint
            found = self._rows(PREDICTIONS, PREDICTION_SCHEMA).to_table(filter=wanted).sort_by(SEQ)
            rows = pa.concat_tables([found.slice(max(0, found.num_rows - limit + rows.num_rows)), rows])
            until, span = until - span, span * 2  # outcomes and other endpoints' decisions have numbers too
        return rows

    def unknown(self, request_ids: Iterable[str]) -> list[str]:
        """Return those of the request ids that no compacted decision has, each once, in their order."""
        wanted = list(dict.fromkeys(request_ids))
        decisions = self._rows(PREDICTIONS, PREDICTION_SCHEMA)
        rows = decisions.to_table(
            columns=["request_id"], filter=ds.field("request_id").isin(pa.array(wanted, pa.string()))
        )
        known = set(rows.column(0).to_pylist())
        return [request_id for request_id in wanted if request_id not in known]

    def orphans(self) -> int:
        """Return how many request ids have an outcome and no decision, as far as both are compacted."""
        rows = self._rows(FEEDBACK, FEEDBACK_SCHEMA).to_table(columns=["request_id"])
        return len(self.unknown(rows.column(0).to_pylist()))

    def joined(
        self,
        endpoint: str,
        *,
        model: str | None = None,
        version: int | None = None,
        role: str | None = None,
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> pa.Table:
        """Return compacted decisions with their outcomes, which are null where none is known yet.

        A decision counts once; of several outcomes the one that became known last wins.

        Args:
            endpoint: The endpoint.
            model: Only this model's.
            version: Only this version's.
            role: Only "live" or "shadow".
            since_us: Only decisions whose T is at or after it, in microseconds since 1970.
            until_us: Only decisions whose T is before it.

        Returns:
            Rows of `PREDICTION_SCHEMA` without `_segment`, and `outcome`, `outcome_at_us`, `outcome_received_us`;
            ascending by `_seq`.
        """
        wanted = ds.field("endpoint") == endpoint
        for column, value in (("model", model), ("version", version), ("role", role)):
            if value is not None:
                wanted &= ds.field(column) == value
        if since_us is not None:
            wanted &= ds.field("at_us") >= since_us
        if until_us is not None:
            wanted &= ds.field("at_us") < until_us
        predictions = self._rows(PREDICTIONS, PREDICTION_SCHEMA).to_table(filter=wanted)
        feedback = self._rows(FEEDBACK, FEEDBACK_SCHEMA).to_table()
        with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
            engine.register("predictions", predictions)
            engine.register("feedback", feedback)
            return engine.sql(_JOINED).to_arrow_table()

    def shadowed(self, wanted: Shadowed, *, limit: int = MOST_PAIRS) -> pa.Table:
        """Return what a shadow and the version that decided computed for the same requests; see `shadow_pairs.pair`."""
        decisions, outcomes = self._rows(PREDICTIONS, PREDICTION_SCHEMA), self._rows(FEEDBACK, FEEDBACK_SCHEMA)
        return pair(decisions, outcomes, wanted, limit=limit)

    def _finish_pending(self, counts: list[int]) -> None:
        with self._db.read() as connection:
            pending = log.last_batch(connection, "PENDING")
        if pending is None:
            return
        try:
            self._move(pending, counts)
        except NotFound:
            with self._db.read() as connection:
                if log.last_batch(connection, "PENDING") == pending:
                    raise
            # The process that began it lives, has finished it, and has removed its segments.

    def _next_parts(self, damaged: list[CorruptionError]) -> tuple[list[Part], Extent]:
        with self._db.read() as connection:
            done = log.compacted(connection)
        parts, extent = [], Extent()
        for segment in log.list_segments(self._folder):
            begin, found = done.get(segment, 0), Extent(extent.records, extent.size_bytes)
            try:
                payloads, _ = log.read_part(self._folder, segment, begin)
                end = log.measure(segment, payloads, begin, found, self._batch_bytes)
            except NotFound:
                continue  # compacted and removed by another process since it was listed
            except CorruptionError as error:
                damaged.append(error)
                continue
            if end > begin:
                parts.append(Part(segment, begin, end))
                extent = found
                if extent.size_bytes >= self._batch_bytes:
                    break
        return parts, extent

    def _move(self, batch: Batch, counts: list[int]) -> None:
        predictions: list[Placed] = []
        feedback: list[Placed] = []
        blocks: list[pa.Table] = []
        seq = batch.first_seq
        for segment, record in log.records_of(self._folder, batch.parts):
            if isinstance(record, BlockRecord):
                blocks.append(block_rows(seq, segment, record))
            else:
                (predictions if isinstance(record, PredictionRecord) else feedback).append((seq, segment, record))
            seq += record.rows if isinstance(record, BlockRecord) else 1
        app = (WRITER, batch.number)
        rows = pa.concat_tables([prediction_rows(predictions), *blocks])
        if rows.num_rows:
            self._tables.append(PREDICTIONS, rows, app=app)
        if feedback:
            self._tables.append(FEEDBACK, feedback_rows(feedback), app=app)
        with self._db.write() as connection:
            mine = log.finish_batch(connection, batch)
        if mine:
            counts[0] += rows.num_rows
            counts[1] += len(feedback)

    def _find_in_segments(self, request_id: str, damaged: list[CorruptionError]) -> PredictionRecord | None:
        with self._db.read() as connection:
            done = log.compacted(connection)
        row = RowId.parse(request_id)
        wanted = (request_id if row is None else row.request_id).encode()
        for segment in reversed(log.list_segments(self._folder)):
            try:
                for payload in log.read_part(self._folder, segment, done.get(segment, 0))[0]:
                    if wanted in payload:
                        record = log.decode(segment, payload)
                        if isinstance(record, BlockRecord) and row is not None and row.request_id == record.request_id:
                            if row.row < record.rows:
                                return record.row(row.row)
                        elif isinstance(record, EnsembleRecord) and record.decision.request_id == request_id:
                            return record.decision
                        elif isinstance(record, PredictionRecord) and _is_decision(record, request_id):
                            return record
            except NotFound:
                continue  # compacted and removed since it was listed
            except CorruptionError as error:
                damaged.append(error)
        return None

    def _find_in_table(self, request_id: str) -> PredictionRecord | None:
        dataset = self._rows(PREDICTIONS, PREDICTION_SCHEMA)
        rows = dataset.to_table(filter=(ds.field("request_id") == request_id) & (ds.field("role") != "shadow"))
        return next(iter(to_records(rows.sort_by(SEQ))), None)

    def _scan(self, name: str, schema: pa.Schema, after: int, endpoint: str | None, limit: int) -> tuple[pa.Table, int]:
        with self._db.read() as connection:  # before the rows: what it counts, the table has
            last = log.last_batch(connection, "DONE")
        end = 0 if last is None else last.first_seq + last.records - 1
        wanted = (ds.field(SEQ) > after) & (ds.field(SEQ) <= end)
        if endpoint is not None:
            wanted &= ds.field("endpoint") == endpoint
        rows = self._rows(name, schema).to_table(filter=wanted).sort_by(SEQ).slice(0, limit)
        cursor = pc.max(rows.column(SEQ)).as_py() if rows.num_rows == limit else max(end, after)
        return rows, cursor

    def _rows(self, name: str, schema: pa.Schema) -> ds.Dataset:
        if self._tables.version(name) is None:
            return ds.dataset(schema.empty_table())
        # A table of an earlier release lacks the columns that came since: they are null.
        return self._tables.read(name).replace_schema(schema)


def _is_decision(record: PredictionRecord, request_id: str) -> bool:
    return record.request_id == request_id and record.role != "shadow"
