"""Cuts one table of payments into what a bank would have had when: history, then a stream, then labels, then later.

    history   [.., cut)       files, as an export of the warehouse on the day of the cut
    steady    [cut, ..)       events one by one; the world is as it was
    shifted   [.., ..)        events one by one; the world has changed
    later     [.., ..)        files again: the weeks after, in the changed world, with their labels
    settled   [.., ..)        events again: the changed world has become the usual one

Whether a payment was fraud becomes known seven days after it. So the streamed events have no label; it follows as a
second record with the same `transaction_id` and a later `ingested_at`, which replaces the first. Each known fraud is
also a row of its own, a chargeback, at the moment at which the bank learned of it: features may count chargebacks,
because at that moment they were known, and may never count `is_fraud`.
"""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LABEL_DELAY = timedelta(days=7)  # as in `fj.Label(delay="7d")`


class Cut(NamedTuple):
    """The instants between the phases, all in UTC.

    Attributes:
        labels_from: Payments before it only fill the windows of features; their labels are left out. With windows
            of 30 days, a model should not learn from the first 30 days, whose windows are not full yet.
        history_ends: The day of the export.
        steady_ends: From here on the world is shifted.
        shifted_ends: The end of the stream.
        later_ends: The end of the files.
        settled_ends: The end of the data.
    """

    labels_from: datetime
    history_ends: datetime
    steady_ends: datetime
    shifted_ends: datetime
    later_ends: datetime
    settled_ends: datetime


def make_cut(first: datetime, warm_up: int, history: int, steady: int, shifted: int, later: int, settled: int) -> Cut:
    """Return the instants from the first day and the lengths of the phases in days."""
    history_ends = first + timedelta(days=history)
    steady_ends = history_ends + timedelta(days=steady)
    shifted_ends = steady_ends + timedelta(days=shifted)
    labels_from = first + timedelta(days=warm_up)
    later_ends = shifted_ends + timedelta(days=later)
    settled_ends = later_ends + timedelta(days=settled)
    return Cut(labels_from, history_ends, steady_ends, shifted_ends, later_ends, settled_ends)


def write_phases(payments: pa.Table, cut: Cut, folder: Path) -> None:
    """Write all files below `folder`.

    Args:
        payments: transaction_id, event_time, customer_id, terminal_id, amount, ..., is_fraud; in order of time.
        cut: Where the phases meet.
        folder: The project's data folder.
    """
    frauds = payments.filter(pc.equal(payments["is_fraud"], 1))
    known_at = pc.add(frauds["event_time"], pa.scalar(LABEL_DELAY))
    ids = frauds.select(["transaction_id", "customer_id", "terminal_id"])
    chargebacks = ids.add_column(1, "known_at", known_at)

    # History: files by month. The label is there if it was known on the day of the export.
    history = between(payments, "event_time", None, cut.history_ends)
    labelled = pc.and_(
        pc.greater_equal(history["event_time"], pa.scalar(cut.labels_from)),
        pc.less(history["event_time"], pa.scalar(cut.history_ends - LABEL_DELAY)),
    )
    write_months(with_arrival(hide_labels(history, keep=labelled)), folder / "transactions")
    write_months(between(chargebacks, "known_at", None, cut.history_ends), folder / "chargebacks", by="known_at")

    # The stream: payments without labels, and the chargebacks that become known meanwhile.
    spans = {"1-steady": (cut.history_ends, cut.steady_ends), "2-shifted": (cut.steady_ends, cut.shifted_ends)}
    for phase, (start, end) in spans.items():
        events = with_arrival(hide_labels(between(payments, "event_time", start, end)))
        write_events(events, folder / "stream" / f"{phase}.transactions.jsonl")
        write_events(between(chargebacks, "known_at", start, end), folder / "stream" / f"{phase}.chargebacks.jsonl")

    # Labels, seven days late. Those of the last week of history arrive with the first phase's.
    for phase, (start, end) in spans.items():
        start = start - LABEL_DELAY if phase == "1-steady" else start
        corrections = with_arrival(between(payments, "event_time", start, end), after=LABEL_DELAY)
        write_events(corrections, folder / "labels" / f"{phase}.transactions.jsonl")
        known = between(chargebacks, "known_at", max(start + LABEL_DELAY, cut.shifted_ends), end + LABEL_DELAY)
        write_events(known, folder / "labels" / f"{phase}.chargebacks.jsonl")

    # Later: exported long after, so that all labels are known.
    later = between(payments, "event_time", cut.shifted_ends, cut.later_ends)
    write_months(with_arrival(later), folder / "later" / "transactions", suffix="-later")
    known = between(chargebacks, "known_at", cut.shifted_ends + LABEL_DELAY, cut.later_ends + LABEL_DELAY)
    write_months(known, folder / "later" / "chargebacks", by="known_at", suffix="-later")

    # Settled: payments without labels; the chargebacks of these days are among the later ones.
    settled = with_arrival(hide_labels(between(payments, "event_time", cut.later_ends, cut.settled_ends)))
    write_events(settled, folder / "stream" / "3-settled.transactions.jsonl")


def between(table: pa.Table, column: str, start: datetime | None, end: datetime) -> pa.Table:
    """Return the rows with start <= column < end."""
    inside = pc.less(table[column], pa.scalar(end))
    if start is not None:
        inside = pc.and_(inside, pc.greater_equal(table[column], pa.scalar(start)))
    return table.filter(inside)


def hide_labels(table: pa.Table, keep: pa.ChunkedArray | None = None) -> pa.Table:
    """Return the table with null labels, except where `keep` is true."""
    nothing = pa.nulls(table.num_rows, pa.int64())
    labels = nothing if keep is None else pc.if_else(keep, table["is_fraud"], nothing)
    return table.set_column(table.schema.get_field_index("is_fraud"), "is_fraud", labels)


def with_arrival(table: pa.Table, after: timedelta = timedelta(0)) -> pa.Table:
    """Return the table with the column `ingested_at`: when this record arrived."""
    return table.append_column("ingested_at", pc.add(table["event_time"], pa.scalar(after)))


def write_months(table: pa.Table, folder: Path, *, by: str = "event_time", suffix: str = "") -> None:
    """Write one Parquet file per month."""
    folder.mkdir(parents=True, exist_ok=True)
    months = pc.add(pc.multiply(pc.year(table[by]), 100), pc.month(table[by]))
    for month in sorted(pc.unique(months).to_pylist()):
        path = folder / f"{month // 100}-{month % 100:02d}{suffix}.parquet"
        rows = table.filter(pc.equal(months, month))
        pq.write_table(rows, path)
        print(f"  {os.path.relpath(path)}: {rows.num_rows:,} rows")


def write_events(table: pa.Table, path: Path) -> None:
    """Write one JSON object per line, as `falaj push` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for row in table.to_pylist():
            file.write(json.dumps(row, default=datetime.isoformat) + "\n")
    print(f"  {os.path.relpath(path)}: {table.num_rows:,} events")
