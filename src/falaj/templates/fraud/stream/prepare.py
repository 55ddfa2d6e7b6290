"""Makes the data of this project from the file that prepare.toml names: `python prepare.py`.

Columns get their usual names, and the rows are cut into history, stream, labels and later (phases.py). The file's
own world is steady, so amounts from the "shifted" phase on are scaled: a monitor should notice. The scenario column
says how the fraud was simulated; it is left behind, because a model must not see it.
"""

import tomllib
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from phases import make_cut, write_phases

HERE = Path(__file__).resolve().parent
NAMES = {
    "TRANSACTION_ID": "transaction_id",
    "TX_DATETIME": "event_time",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "terminal_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
}


def main() -> None:
    asked = tomllib.loads((HERE / "prepare.toml").read_text(encoding="utf-8"))
    if (HERE / "data").exists():
        raise SystemExit(f"{HERE / 'data'} exists already; remove it to make it again")
    payments = read_payments(Path(asked["data"]))
    lengths = [asked[f"{phase}_days"] for phase in ("history", "steady", "shifted", "later", "settled")]
    first = first_day(payments, sum(lengths), asked["data"])
    cut = make_cut(first, asked["warm_up_days"], *lengths)
    payments = payments.filter(pc.greater_equal(payments["event_time"], pa.scalar(first)))
    payments = scale_amounts(payments, cut.steady_ends, asked["shifted_amount_factor"])
    print(f"{payments.num_rows:,} payments from {first:%Y-%m-%d} on")
    write_phases(payments, cut, HERE / "data")


def read_payments(path: Path) -> pa.Table:
    """Return the file's rows in order of time, with the usual names and types."""
    if not path.is_file():
        raise SystemExit(f"{path} does not exist; correct `data` in prepare.toml")
    table = pq.read_table(path, columns=list(NAMES)) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    table = table.select(list(NAMES)).rename_columns(list(NAMES.values()))
    at = table["event_time"].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    table = table.set_column(1, "event_time", at)
    table = table.set_column(5, "is_fraud", table["is_fraud"].cast(pa.int64()))
    return table.sort_by([("event_time", "ascending"), ("transaction_id", "ascending")])


def first_day(payments: pa.Table, days: int, name: str) -> datetime:
    """Return the midnight from which on there are so many days."""
    first, last = (when.as_py() for when in pc.min_max(payments["event_time"]).values())
    end = datetime.combine(last.date() + timedelta(days=1), time(), UTC)
    if end - timedelta(days=days) < datetime.combine(first.date(), time(), UTC):
        raise SystemExit(f"{name} has {(end - first).days} days and prepare.toml asks for {days}; lower history_days")
    return end - timedelta(days=days)


def scale_amounts(payments: pa.Table, start: datetime, factor: float) -> pa.Table:
    """Return the payments with amounts from `start` on multiplied."""
    shifted = pc.greater_equal(payments["event_time"], pa.scalar(start))
    scaled = pc.round(pc.multiply(payments["amount"], factor), 2)
    return payments.set_column(4, "amount", pc.if_else(shifted, scaled, payments["amount"]))


if __name__ == "__main__":
    main()
