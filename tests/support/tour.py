"""The tour of the README as a project on disk: its definitions, and transactions in which fraud can be learned."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 45
NOW = "2025-02-15T00:00:00Z"
"""The first instant after all transactions: what is asked as of it sees them all."""

DEFINITIONS = """\
import numpy as np
import falaj as fj

card = fj.Entity("card", key="card_id", dtype="string")

transactions = fj.Source(
    "transactions",
    batch=fj.Parquet("data/transactions/*.parquet"),
    stream=fj.Push(),
    id="transaction_id",
    timestamp="event_time",
    created="ingested_at",
    checks=[fj.check.not_null("transaction_id"), fj.check.between("amount", 0, 100_000)],
)

card_activity = fj.FeatureView(
    "card_activity", entity=card, source=transactions,
    features={
        "velocity_1h": fj.count(window="1h"),
        "velocity_24h": fj.count(window="24h"),
        "amount_30d": fj.sum("amount", window="30d"),
        "amount_mean_7d": fj.mean("amount", window="7d"),
        "last_country": fj.last("country"),
    },
    ttl="48h",
    owner="fraud-team",
)

@fj.on_demand(inputs=["request:amount", "card_activity:amount_mean_7d"])
def amount_ratio(amount, amount_mean_7d):
    return amount / np.maximum(amount_mean_7d, 1.0)

fraud_features = fj.FeatureService("fraud", [card_activity, amount_ratio, fj.request("amount", "float64")])

fraud = fj.Model(
    "fraud", features=fraud_features,
    label=fj.Label(source=transactions, column="is_fraud", delay="7d"),
    trainer=fj.lightgbm(num_trees=40), split=fj.split.by_time(test="20%"),
    gates=[fj.gate.at_least("auc", 0.90), fj.gate.no_worse_than_production("auc", by=0.02),
           fj.gate.latency(p99_ms=5)],
)

fraud_endpoint = fj.Endpoint(
    "fraud", model=fraud,
    rollout=fj.canary(steps=[10, 50, 100], bake="10m",
                      abort_if=[fj.error_ratio > 0.05, fj.p99_ms > 10]),
    retrain=fj.retrain(on=[fj.on.drift(), fj.on.schedule("weekly"), fj.on.new_labels(10_000)], cooldown="6h"),
)
"""


def transactions(
    rows: int, *, seed: int = 7, cards: int = 150, first: datetime = FIRST, days: float = DAYS, prefix: str = "t"
) -> list[dict[str, Any]]:
    """Return transactions in order of time; about 4 of 100 are fraud, by amount, country and haste.

    Args:
        rows: How many.
        seed: The same seed gives the same rows.
        cards: How many cards they are spread over.
        first: When they begin.
        days: How long they go on.
        prefix: Of their identifiers.
    """
    random = np.random.default_rng(seed)
    offsets_us = np.sort(random.integers(0, int(days * 86_400e6), rows))
    usual = np.exp(random.normal(3.2, 0.5, cards))
    made = []
    for number, offset_us in enumerate(offsets_us.tolist()):
        card = int(random.integers(cards))
        fraud = random.random() < 0.04
        amount = float(usual[card] * np.exp(random.normal(0, 0.4)) * (random.uniform(4, 12) if fraud else 1))
        at = first + timedelta(microseconds=int(offset_us))
        made.append({
            "transaction_id": f"{prefix}{number}",
            "event_time": at,
            "ingested_at": at + timedelta(seconds=2),
            "card_id": f"c{card}",
            "amount": round(min(amount, 99_999.0), 2),
            "country": str(random.choice(["AE", "OM", "XX"], p=[0.2, 0.2, 0.6] if fraud else [0.7, 0.28, 0.02])),
            "is_fraud": int(fraud != (random.random() < 0.002)),
        })  # fmt: skip
    return made


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def as_json(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a row as an event that can be pushed."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in {**row, **changes}.items()}


def write_tour(folder: Path, *, rows: int = 8_000, name: str = "tour") -> None:
    """Write the project: settings, definitions, and one file of transactions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "falaj.toml").write_text(f'[project]\nname = "{name}"\n')
    (folder / "fraud.py").write_text(DEFINITIONS)
    write_rows(folder / "data" / "transactions" / "2025-01.parquet", transactions(rows))
