"""Makes the data of this project from the file that prepare.toml names: `python prepare.py`.

The file has no dates, so nothing can be streamed in order. Instead a random part of its rows is held out: these rows
lose their label in the table that the model learns from, and are written beside it to be scored as if they were new.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"


def main() -> None:
    asked = tomllib.loads((HERE / "prepare.toml").read_text(encoding="utf-8"))
    if DATA.exists():
        raise SystemExit(f"{DATA} exists already; remove it to make it again")
    path = Path(asked["data"])
    if not path.is_file():
        raise SystemExit(f"{path} does not exist; correct `data` in prepare.toml")
    rows = pq.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    held_out = np.random.default_rng(asked["seed"]).random(rows.num_rows) < asked["held_out"]
    print(f"{rows.num_rows:,} transactions, {held_out.sum():,} of them held out")

    (DATA / "transactions").mkdir(parents=True)
    pyarrow.csv.write_csv(without_labels(rows, held_out), DATA / "transactions" / "transactions.csv")
    new = rows.filter(pa.array(held_out))
    write_events(without_labels(new, np.ones(new.num_rows, dtype=bool)), DATA / "stream" / "1-new.transactions.jsonl")
    write_events(new, DATA / "labels" / "1-new.transactions.jsonl")


def without_labels(rows: pa.Table, hidden: np.ndarray) -> pa.Table:
    """Return the rows with a null label where `hidden` is true."""
    labels = pa.array(rows["is_fraud"].to_numpy().astype(np.int64), mask=hidden)
    return rows.set_column(rows.schema.get_field_index("is_fraud"), "is_fraud", labels)


def write_events(rows: pa.Table, path: Path) -> None:
    """Write one JSON object per line."""
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()), encoding="utf-8")


if __name__ == "__main__":
    main()
