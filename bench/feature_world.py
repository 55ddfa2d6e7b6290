"""The world that features are measured on: seeded events and labels as Parquet, and the same as plain values.

Events arrive nearly in the order of their time, as streams do: each up to a minute late, or, one in a thousand, a day.
Keys are whole numbers, times are microseconds UTC.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

import falaj as fj
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.compile import compile_service

DAY_US = 86_400_000_000
START_US = 1_760_000_000_000_000
SPAN_US = 30 * DAY_US
TTL = "7d"
TTL_US = 7 * DAY_US
WINDOWS = {"1h": DAY_US // 24, "1d": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US}
SCHEMA = {"event_id": "int64", "customer_id": "int64", "at": "timestamp", "known": "timestamp", "amount": "float64"}
INSTANT = pa.timestamp("us", "UTC")
_ROW_GROUP = 122_880


class World(NamedTuple):
    """Files, and how large they are.

    Attributes:
        folder: Where they are.
        events: As a user has them: event_id, customer_id, at, known, amount; in the order of arrival.
        stored: The same as the data room keeps them, with `_event_ts`, `_created` and `_ingest_seq`.
        labels: customer_id, event_timestamp and label; in no order.
        entities: How many customers.
    """

    folder: Path
    events: Path
    stored: Path
    labels: Path
    entities: int

    def source(self) -> ds.Dataset:
        """Return the stored events as the features room is given them."""
        return ds.dataset(self.stored)

    def frame(self) -> pa.Table:
        """Return the label rows as an entity frame, in memory."""
        return pq.read_table(self.labels)


def write_world(folder: Path, *, events: int, entities: int, labels: int, seed: int = 1) -> World:
    """Write the files of a world.

    Args:
        folder: An empty folder.
        events: How many events.
        entities: How many customers; all have as many events, but for chance.
        labels: How many label rows.
        seed: Another gives other values.
    """
    rng = np.random.default_rng(seed)
    world = World(folder, folder / "events.parquet", folder / "stored.parquet", folder / "labels.parquet", entities)
    table = _events(rng, events, entities, 1)
    pq.write_table(table.select(list(SCHEMA)), world.events, row_group_size=_ROW_GROUP)
    pq.write_table(table, world.stored, row_group_size=_ROW_GROUP)
    asked = {
        "customer_id": rng.integers(0, entities, labels),
        "event_timestamp": _instants(START_US + rng.integers(SPAN_US // 3, SPAN_US, labels)),
        "label": rng.integers(0, 2, labels),
    }
    pq.write_table(pa.table(asked), world.labels)
    return world


def write_stream(path: Path, *, events: int, entities: int, chunk: int = 5_000_000, seed: int = 2) -> None:
    """Write stored events chunk by chunk, each a slice of time, so that memory stays that of a chunk."""
    rng = np.random.default_rng(seed)
    writer = None
    for first in range(0, events, chunk):
        rows = min(chunk, events - first)
        table = _events(rng, rows, entities, first + 1, (first / events, (first + rows) / events))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=_ROW_GROUP)
    assert writer is not None
    writer.close()


def plain_service(*, identity: bool = False) -> ServiceSpec:
    """Return one plain column with a ttl, as Feast keeps it.

    Args:
        identity: Whether events have an id, by which duplicates and corrections are found. Feast has none.
    """
    view = fj.FeatureView("spend", _customer(), _source(identity=identity), {"amount": fj.column("amount")}, ttl=TTL)
    return _compiled(view)


def windowed_service() -> ServiceSpec:
    """Return eight aggregates: a count and a sum over each of four windows."""
    counts = {f"count_{name}": fj.count(window=name) for name in WINDOWS}
    sums = {f"sum_{name}": fj.sum("amount", window=name) for name in WINDOWS}
    return _compiled(fj.FeatureView("activity", _customer(), _source(), counts | sums))


def _events(
    rng: np.random.Generator, rows: int, entities: int, first_seq: int, part: tuple[float, float] = (0.0, 1.0)
) -> pa.Table:
    from_us, to_us = (START_US + int(SPAN_US * share) for share in part)
    at = rng.integers(from_us, to_us, rows)
    known = at + rng.integers(0, 60_000_000, rows) + DAY_US * (rng.random(rows) < 0.001)
    arrival = np.argsort(known, kind="stable")
    at, known = at[arrival], known[arrival]
    seq = np.arange(first_seq, first_seq + rows)
    return pa.table(
        {
            "event_id": seq,
            "customer_id": rng.integers(0, entities, rows),
            "at": _instants(at),
            "known": _instants(known),
            "amount": np.round(rng.lognormal(3.5, 1.0, rows), 2),
            "_event_ts": _instants(at),
            "_created": _instants(known),
            "_ingest_seq": seq,
        }
    )


def _instants(us: NDArray[np.int64]) -> pa.Array:
    return pa.array(us, INSTANT)


def _customer() -> fj.Entity:
    return fj.Entity("customer", key="customer_id", dtype="int64")


def _source(*, identity: bool = False) -> fj.Source:
    return fj.Source(
        "events",
        batch=fj.Parquet("events.parquet"),
        id="event_id" if identity else None,
        timestamp="at",
        created="known",
        schema=SCHEMA,
        lateness="2d",
    )


def _compiled(*views: fj.FeatureView) -> ServiceSpec:
    return compile_service(fj.FeatureService("measured", list(views)), {"events": SCHEMA})
