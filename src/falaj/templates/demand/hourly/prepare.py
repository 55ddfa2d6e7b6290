"""Makes the data of this project from the file that prepare.toml names: `python prepare.py`.

The file has one row for each hour: its day (`dteday`) and hour (`hr`), `weekday`, `workingday`, the weather (`temp`, `hum`,
`windspeed`) and how many came (`cnt`).
"""

import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from phases import write_phases

HERE = Path(__file__).resolve().parent


def main() -> None:
    asked = tomllib.loads((HERE / "prepare.toml").read_text(encoding="utf-8"))
    if (HERE / "data").exists():
        raise SystemExit(f"{HERE / 'data'} exists already; remove it to make it again")
    path = Path(asked["data"])
    if not path.is_file():
        raise SystemExit(f"{path} does not exist; correct `data` in prepare.toml")
    rows = pq.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    write_phases(as_hours(rows), asked["stream_weeks"], HERE / "data")


def as_hours(rows: pa.Table) -> pa.Table:
    """Return the rows by the names of demand.py, in order of time."""
    begins = pc.add(rows["dteday"].cast(pa.timestamp("us")), pc.multiply(rows["hr"], 3_600_000_000).cast(pa.duration("us")))
    at = begins.combine_chunks().cast(pa.timestamp("us", "UTC"))
    columns = {
        "hour_id": pc.strftime(at, format="h%Y%m%d%H"),
        "place_id": pa.array(["all"] * rows.num_rows),
        "at": at,
        "hour": rows["hr"],
        "weekday": rows["weekday"],
        "workingday": rows["workingday"],
        "temperature": rows["temp"].cast(pa.float64()),
        "humidity": rows["hum"].cast(pa.float64()),
        "wind": rows["windspeed"].cast(pa.float64()),
        "demand": rows["cnt"].cast(pa.int64()),
    }
    return pa.table(columns).sort_by("at")


if __name__ == "__main__":
    main()
