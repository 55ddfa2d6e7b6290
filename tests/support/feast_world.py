"""One view over one file of rows, in Feast and in ours: the same questions to both."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from peers.feast_peer import Feast

from falaj.definitions.aggregation import column
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.source import Push, Source
from falaj.features.compile import compile_service
from falaj.features.materialise import apply_batch
from falaj.features.offline import training_frame
from falaj.features.online import OnlineReader, OnlineRows
from falaj.storage.keyvalue.memory import MemoryStore

START_US = 1_700_000_000_000_000
"""An instant of 2023; the times of rows and questions count from it."""
SECOND_US = 1_000_000
INSTANT = pa.timestamp("us", "UTC")
ARROW = {
    "int64": pa.int64(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": INSTANT,
}
Row = dict[str, Any]
_FEAST_STATUSES = {1: "PRESENT", 2: "NULL_VALUE", 3: "NOT_FOUND", 4: "OUTSIDE_MAX_AGE"}


def row(k: Any = 1, at: int = 0, x: Any = None, known: int | None = None, **values: Any) -> Row:
    """Return a row of the source; times in microseconds after START_US, and known when it happened by default."""
    return {"k": k, "at": at, "known": at if known is None else known, "x": x} | values


class FeastWorld:
    """A view `v` in both.

    Args:
        feast: The running Feast.
        folder: For files; each world has names of its own there.
        rows: The source's rows, in the order of their arrival.
        keys: Key columns and their types.
        fields: Feature columns and their types.
        ttl_us: The view's ttl.
        offline: Feast's offline store.
        files: The types of columns that the file has otherwise than declared.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        feast: Feast,
        folder: Path,
        rows: Sequence[Row],
        *,
        keys: dict[str, str] | None = None,
        fields: dict[str, str] | None = None,
        ttl_us: int | None = None,
        offline: str = "duckdb",
        files: dict[str, str] | None = None,
    ) -> None:
        self.feast = feast
        self.keys = keys or {"k": "int64"}
        self.fields = fields or {"x": "float64"}
        self.rows = list(rows)
        self._ttl_us = ttl_us
        self._files = files or {}
        self._folder = folder / f"world-{next(self._numbers)}"
        self._folder.mkdir()
        self._source = self._folder / "source.parquet"
        self._write(self._source, self.rows)
        view = {"name": "v", "path": str(self._source), "keys": self.keys, "fields": self.fields, "ttl_us": ttl_us}
        times = {"timestamp": "at", "created": "known"}
        feast.ask("open", folder=str(self._folder), views=[view | times], offline=offline)
        self.spec = self._service()

    def add(self, rows: Sequence[Row]) -> None:
        """Let rows arrive after those that are there."""
        self.rows += rows
        self._write(self._source, self.rows)

    def feast_history(self, questions: Sequence[Row], *, known: bool = False) -> list[Row]:
        """Return Feast's answer: its rows in its order, with the question's position as `row`."""
        frame, out = self._folder / "frame.parquet", self._folder / "answer.parquet"
        pq.write_table(self._frame(questions), frame)
        features = [f"v:{name}" for name in self.fields]
        self.feast.ask("history", frame=str(frame), features=features, out=str(out), known=known)
        answer = pq.read_table(out)
        for number, field in enumerate(answer.schema):
            if pa.types.is_timestamp(field.type):
                answer = answer.set_column(number, field.name, answer[field.name].cast(INSTANT).cast(pa.int64()))
        rows: list[Row] = answer.select(["row", *(f"v__{name}" for name in self.fields)]).to_pylist()
        return rows

    def feast_values(self, questions: Sequence[Row], *, known: bool = False) -> list[list[Any]]:
        """Return Feast's values in the order of the questions."""
        rows = sorted(self.feast_history(questions, known=known), key=lambda r: r["row"])
        assert [r["row"] for r in rows] == list(range(len(questions)))
        return [[r[f"v__{name}"] for name in self.fields] for r in rows]

    def our_values(self, questions: Sequence[Row]) -> list[list[Any]]:
        """Return our training frame's values, a list for each question."""
        answer = training_frame(self.spec, self._frame(questions), {"tx": self._stored()})
        assert answer["row"].to_pylist() == list(range(len(questions)))
        return [list(values) for values in zip(*(self._plain(answer, name) for name in self.fields), strict=True)]

    def feast_materialise(self, to: int, *, since: int = -100 * SECOND_US) -> None:
        """Bring a span to Feast's online store."""
        self.feast.ask("materialise", from_us=START_US + since, to_us=START_US + to)

    def feast_materialise_incrementally(self, to: int) -> None:
        """Bring what came since the last time to Feast's online store."""
        self.feast.ask("materialise", to_us=START_US + to, incremental=True)

    def feast_push(self, rows: Sequence[Row]) -> None:
        """Write rows to Feast's online store."""
        path = self._folder / "pushed.parquet"
        self._write(path, rows)
        self.feast.ask("push", view="v", rows=str(path))

    def feast_online(self, entities: Sequence[Row]) -> list[list[Any]]:
        """Return Feast's online values, a list for each entity."""
        return self._feast_online(entities)[0]

    def feast_statuses(self, entities: Sequence[Row]) -> list[list[str]]:
        """Return Feast's online statuses by name."""
        return self._feast_online(entities)[1]

    def our_online(self, entities: Sequence[Row], at: int) -> OnlineRows:
        """Return our online answer at an instant, after all rows have arrived."""
        store = MemoryStore()
        apply_batch(store, self.spec.views, self._stored(), len(self.rows))
        return OnlineReader(store).read(self.spec, entities, [START_US + at] * len(entities))

    def _feast_online(self, entities: Sequence[Row]) -> tuple[list[list[Any]], list[list[str]]]:
        names = [f"v__{name}" for name in self.fields]
        answer = self.feast.ask("online", rows=list(entities), features=[f"v:{name}" for name in self.fields])
        values = [list(found) for found in zip(*(answer["values"][name] for name in names), strict=True)]
        statuses = [
            [_FEAST_STATUSES[one] for one in found]
            for found in zip(*(answer["statuses"][name] for name in names), strict=True)
        ]
        return values, statuses

    def _service(self) -> Any:
        schema = {**self.keys, "at": "timestamp", "known": "timestamp", **self.fields}
        schema = {name: "int64" if dtype == "int32" else dtype for name, dtype in schema.items()}
        source = Source("tx", stream=Push(), timestamp="at", created="known", schema=schema, lateness="1h")
        (dtype,) = {schema[key] for key in self.keys}
        entity = Entity("e", key=tuple(self.keys), dtype=dtype)
        ttl = None if self._ttl_us is None else f"{self._ttl_us}us"
        view = FeatureView("v", entity, source, {name: column(name) for name in self.fields}, ttl=ttl)
        return compile_service(FeatureService("s", [view]), {"tx": schema})

    def _stored(self) -> pa.Table:
        table = self._table(self.rows)
        seq = pa.array(range(1, len(self.rows) + 1), pa.int64())
        for name, values in (("_event_ts", table["at"]), ("_created", table["known"]), ("_ingest_seq", seq)):
            table = table.append_column(name, values)
        return table

    def _frame(self, questions: Sequence[Row]) -> pa.Table:
        columns = {"row": pa.array(range(len(questions)), pa.int64())}
        for key, dtype in self.keys.items():
            columns[key] = pa.array([question[key] for question in questions], ARROW[dtype])
        instants = [None if q["t"] is None else START_US + q["t"] for q in questions]
        columns["event_timestamp"] = pa.array(instants, INSTANT)
        return pa.table(columns)

    def _table(self, rows: Sequence[Row]) -> pa.Table:
        columns = {}
        for name, dtype in {**self.keys, "at": "timestamp", "known": "timestamp", **self.fields}.items():
            values = [r[name] for r in rows]
            if name in ("at", "known"):
                values = [START_US + value for value in values]
            columns[name] = pa.array(values, ARROW[self._files.get(name, dtype)])
        return pa.table(columns)

    def _write(self, path: Path, rows: Sequence[Row]) -> None:
        pq.write_table(self._table(rows), path)

    def _plain(self, table: pa.Table, name: str) -> list[Any]:
        values = table[f"v__{name}"]
        plain: list[Any] = (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_pylist()
        return plain
