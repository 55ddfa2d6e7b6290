"""By hand: the same answers by queries that an expert would write for one case, as fast as we could make them.

They read only the columns that they need, from the same Parquet file, and do nothing that their question does not ask:
no check of the input, no identities, no rule for equal instants, of which the data has none. The frame's order is kept.
"""

from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa


def duckdb_asof(events: Path, frame: pa.Table, ttl_us: int) -> pa.Table:
    """Return the frame's rows with `amount`, by DuckDB's ASOF JOIN."""
    with duckdb.connect() as engine:
        engine.register("asked", frame.append_column("row", pa.array(range(frame.num_rows), pa.int64())))
        return engine.sql(
            f"""
            SELECT asked.customer_id, asked.event_timestamp, asked.label,
                   CASE WHEN e."at" >= asked.event_timestamp - to_microseconds({ttl_us}) THEN e.amount END AS amount
            FROM asked ASOF LEFT JOIN (SELECT customer_id, "at", amount FROM read_parquet('{events}')) e
              ON asked.customer_id = e.customer_id AND asked.event_timestamp >= e."at"
            ORDER BY row
            """  # noqa: S608 - our own file
        ).to_arrow_table()


def polars_asof(events: Path, frame: pa.Table, ttl_us: int) -> pl.DataFrame:
    """Return the frame's rows with `amount`, by Polars' join_asof."""
    asked = pl.from_arrow(frame)
    assert isinstance(asked, pl.DataFrame)
    known = pl.read_parquet(events, columns=["customer_id", "at", "amount"]).sort("at")
    joined = asked.with_row_index("row").sort("event_timestamp").join_asof(
        known,
        left_on="event_timestamp",
        right_on="at",
        by="customer_id",
        tolerance=f"{ttl_us}us",
        check_sortedness=False,
    )  # fmt: skip
    return joined.sort("row").select("customer_id", "event_timestamp", "label", "amount")


def duckdb_windows(events: Path, frame: pa.Table, windows: dict[str, int]) -> pa.Table:
    """Return a count and a sum of `amount` over each window before each row's instant, by RANGE frames."""
    chosen = ", ".join(
        f"count(amount) OVER w{i} AS count_{n}, sum(amount) OVER w{i} AS sum_{n}" for i, n in enumerate(windows)
    )
    frames = ", ".join(
        f"w{i} AS (PARTITION BY customer_id ORDER BY us RANGE BETWEEN {us} PRECEDING AND 1 PRECEDING)"
        for i, us in enumerate(windows.values())
    )
    with duckdb.connect() as engine:
        engine.register("asked", frame.append_column("row", pa.array(range(frame.num_rows), pa.int64())))
        return engine.sql(
            f"""
            SELECT * EXCLUDE (asking) FROM (
              SELECT row, row IS NOT NULL AS asking, {chosen} FROM (
                SELECT row, customer_id, epoch_us(event_timestamp) AS us, NULL::DOUBLE AS amount FROM asked
                UNION ALL
                SELECT NULL, customer_id, epoch_us("at"), amount FROM read_parquet('{events}')
              ) WINDOW {frames}
            ) WHERE asking ORDER BY row
            """  # noqa: S608 - our own file
        ).to_arrow_table()
