"""The data room on real stores: embedded ones on a folder, in-memory ones without."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

import falaj as fj
from falaj.data.columns import quarantine_table, source_table
from falaj.data.events import Events
from falaj.data.feeds import Feeds
from falaj.data.ingest import Ingestion
from falaj.data.reader import SourceReader
from falaj.data.report import IngestReport, refuse_incomplete
from falaj.data.schema import source_schema
from falaj.definitions.source import Source
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import Clock, ManualClock, from_us, parse_instant, rfc3339
from falaj.storage.eventlog import EventLog
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.eventlog.memory import MemoryLog
from falaj.storage.feeds.files import FileFeed
from falaj.storage.metadata.database import Database
from falaj.storage.tables.delta import DeltaTables
from falaj.storage.tables.memory import MemoryTables
from falaj.storage.tables.port import TableStore

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CARD_STREAM = REAL_DATA / "card_transactions_stream.parquet"
FRAUD_10K = REAL_DATA / "credit_card_fraud_10k.csv"
ADA = Actor("ada", Role.ENGINEER)

EVENT_SCHEMA = {"id": "string", "at": "timestamp", "known": "timestamp", "amount": "float64", "country": "string"}


def pushed_source(**changes: Any) -> Source:
    """Return a source of pushed events and of files in `in/`."""
    fields: dict[str, Any] = {
        "batch": fj.Parquet("in/*.parquet"),
        "stream": fj.Push(),
        "id": "id",
        "timestamp": "at",
        "created": "known",
        "schema": EVENT_SCHEMA,
        "checks": [fj.check.between("amount", 0, 100)],
    }
    return Source("tx", **(fields | changes))


def followed_source(**changes: Any) -> Source:
    """Return a source that follows the files of `outside/`; its events have no id, so that none may come twice."""
    return pushed_source(**({"batch": None, "stream": fj.Follow("outside/*.jsonl"), "id": None} | changes))


def event(id: str, at_us: int, amount: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """Return one event of `pushed_source`; whole numbers for `at` and `known` count microseconds since 1970."""
    sent = {"id": id, "at": at_us, "amount": amount, **more}
    return sent | {name: rfc3339(from_us(sent[name])) for name in ("at", "known") if isinstance(sent.get(name), int)}


def event_file(path: Path, events: Sequence[Mapping[str, Any]]) -> Path:
    """Write events of `pushed_source` as a Parquet file."""
    import pyarrow.parquet as pq

    from falaj.data.columns import rows_schema

    columns = {name: [row.get(name) for row in events] for name in EVENT_SCHEMA}
    for name in ("at", "known"):
        columns[name] = [None if text is None else parse_instant(text) for text in columns[name]]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=rows_schema(EVENT_SCHEMA)), path)
    return path


def append_lines(path: Path, *lines: Mapping[str, Any] | str, end: str = "\n") -> None:
    """Append lines to a file, objects as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        file.writelines((line if isinstance(line, str) else json.dumps(line)) + end for line in lines)


class DataRoom:
    """All parts of the data room over one set of stores."""

    def __init__(
        self, tables: TableStore, db: Database, folder: Path, logs: Path | None, clock: Clock | None = None
    ) -> None:
        self.tables = tables
        self.db = db
        self.folder = folder
        self.clock = clock or ManualClock()
        self._log_folder = logs
        self._logs: dict[str, EventLog] = {}
        self._opening = threading.Lock()
        self.ingestion = Ingestion(tables, self.log, db, self.clock)
        self.events = Events(tables, self.log, db, self.clock)
        self.feeds = Feeds(self.events, lambda _: FileFeed(folder / "outside" / "*.jsonl", folder))
        self.reader = SourceReader(tables, self.log, db)

    @classmethod
    def in_memory(cls, folder: Path) -> "DataRoom":
        db = Database.memory()
        db.create_all()
        return cls(MemoryTables(), db, folder, None)

    @classmethod
    def embedded(cls, state: Path, folder: Path) -> "DataRoom":
        state.mkdir(exist_ok=True)
        db = Database.sqlite(state / "falaj.db")
        db.create_all()
        return cls(DeltaTables(state / "tables"), db, folder, state / "log")

    def log(self, source: str) -> EventLog:
        with self._opening:
            if source not in self._logs:
                folder = self._log_folder
                self._logs[source] = MemoryLog() if folder is None else LocalLog.open(folder / source)
            return self._logs[source]

    def take(self, of: Source, *, limit: int = 1000) -> int:
        """Take what lies in `outside/`, and return how many payloads came."""
        total = 0
        while count := self.feeds.take(of, of.schema, limit=limit, timeout_s=0).count:
            total += count
        return total

    def use_log(self, source: str, log: EventLog) -> None:
        self._logs[source] = log

    def ingest(self, source: Source, actor: Actor = ADA) -> IngestReport:
        return self.ingest_as(source, source_schema(source, self.folder), actor)

    def ingest_as(self, source: Source, schema: Mapping[str, str], actor: Actor = ADA) -> IngestReport:
        """Ingest as columns of those types, and raise what the first file was refused for."""
        report = self.ingestion.ingest(source, schema, self.folder, actor)
        refuse_incomplete(report.refused)
        return report

    def read_all(self, source: str, schema: Mapping[str, str], limit: int = 1000, seq: int = 1) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            piece, through = self.reader.read_from(source, schema, seq, limit)
            if through < seq:
                return rows
            assert piece.num_rows <= limit
            rows += piece.to_pylist()
            seq = through + 1

    def table(self, source: str) -> list[dict[str, Any]]:
        return self._all(source_table(source))

    def quarantine(self, source: str) -> list[dict[str, Any]]:
        return self._all(quarantine_table(source))

    def _all(self, name: str) -> list[dict[str, Any]]:
        if self.tables.version(name) is None:
            return []
        rows: list[dict[str, Any]] = self.tables.read(name).to_table().sort_by("_ingest_seq").to_pylist()
        return rows

    def close(self) -> None:
        for log in self._logs.values():
            log.close()
        self.db.close()
