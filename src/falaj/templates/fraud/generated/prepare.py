"""Makes the data of this project: `python prepare.py`, sized by prepare.toml.

A town is invented (generate.py), its payments are cut into history, stream, labels and later (phases.py), and a few
mistakes are put into the history, so that the checks in fraud.py have something to find.
"""

import tomllib
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from generate import START, generate
from phases import make_cut, with_arrival, write_phases

HERE = Path(__file__).resolve().parent


def main() -> None:
    asked = tomllib.loads((HERE / "prepare.toml").read_text(encoding="utf-8"))
    if (HERE / "data").exists():
        raise SystemExit(f"{HERE / 'data'} exists already; remove it to make it again")
    lengths = [asked[f"{phase}_days"] for phase in ("history", "steady", "shifted", "later", "settled")]
    payments = generate(
        days=sum(lengths),
        customers=asked["customers"],
        terminals=asked["terminals"],
        seed=asked["seed"],
        shift_days=asked["shifted_days"] + asked["later_days"] + asked["settled_days"],
    ).drop_columns(["fraud_pattern"])  # it says how the fraud was made: a model must not see it
    cut = make_cut(START, asked["warm_up_days"], *lengths)
    print(f"{payments.num_rows:,} payments of {asked['customers']:,} customers")
    write_phases(payments, cut, HERE / "data")
    pq.write_table(resent_rows(payments), HERE / "data" / "transactions" / "resent.parquet")
    print("and data/transactions/resent.parquet: 5 rows, 3 of them bad, 1 duplicate, 1 correction")


def resent_rows(payments: pa.Table) -> pa.Table:
    """Return what another system sent once more: three bad rows, one duplicate and one correction."""
    first, second, third, fourth, fifth = with_arrival(payments.slice(1000, 5)).to_pylist()
    rows = [
        first | {"transaction_id": None},  # to quarantine: transaction_id is null
        second | {"transaction_id": "t-negative", "amount": -second["amount"]},  # to quarantine
        third | {"transaction_id": "t-absurd", "amount": 99_999_999.0},  # to quarantine
        fourth,  # the same row again: counts once
        fifth | {"amount": fifth["amount"] + 1.0, "ingested_at": fifth["ingested_at"] + timedelta(days=1)},  # corrects
    ]
    schema = payments.schema.append(pa.field("ingested_at", payments.schema.field("event_time").type))
    rows = [row | {"is_fraud": None} for row in rows]  # these lie in the warm-up, which has no labels
    return pa.Table.from_pylist(rows, schema=schema)


if __name__ == "__main__":
    main()
