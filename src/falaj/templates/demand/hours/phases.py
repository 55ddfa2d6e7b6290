"""Cuts a table of hours into history, as files, and what comes after it, as events."""

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def write_phases(hours: pa.Table, weeks: int, data: Path) -> None:
    """Write history and stream.

    Args:
        hours: In order of time, with the column `at`.
        weeks: How many of the last weeks are streamed.
        data: The folder to make.
    """
    ends = pc.max(hours["at"]).as_py() + timedelta(hours=1)
    streamed = pc.greater_equal(hours["at"], pa.scalar(ends - timedelta(weeks=weeks), hours["at"].type))
    history, stream = hours.filter(pc.invert(streamed)), hours.filter(streamed)
    if not history.num_rows or not stream.num_rows:
        raise SystemExit(f"{hours.num_rows:,} hours leave no history before {weeks} weeks; change stream_weeks")
    (data / "hours").mkdir(parents=True)
    (data / "stream").mkdir()
    pq.write_table(history, data / "hours" / "history.parquet")
    lines = (json.dumps(row | {"at": row["at"].isoformat()}) + "\n" for row in stream.to_pylist())
    (data / "stream" / "1-weeks.hours.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{history.num_rows:,} hours of history and {stream.num_rows:,} to stream")
