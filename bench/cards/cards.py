"""The project that the gateway is measured on: twelve stored features of a card, six of them windows; two on demand."""

import numpy as np

import falaj as fj

card = fj.Entity("card", key="card_id", dtype="string")

holders = fj.Source(
    "holders", batch=fj.Parquet("data/holders.parquet"), id="card_id", timestamp="updated_at", created="updated_at"
)

transactions = fj.Source(
    "transactions",
    batch=fj.Parquet("data/transactions.parquet"),
    id="transaction_id",
    timestamp="event_time",
    created="ingested_at",
    checks=[fj.check.not_null("card_id"), fj.check.between("amount", 0, 1_000_000)],
)

holder = fj.FeatureView(
    "holder",
    entity=card,
    source=holders,
    features={
        "age": fj.column("age"),
        "income": fj.column("income"),
        "limit": fj.column("credit_limit"),
        "tenure_days": fj.column("tenure_days"),
        "score": fj.column("score"),
        "cards": fj.column("cards"),
    },
)

activity = fj.FeatureView(
    "activity",
    entity=card,
    source=transactions,
    features={
        "count_1h": fj.count(window="1h"),
        "count_24h": fj.count(window="24h"),
        "amount_mean_7d": fj.mean("amount", window="7d"),
        "amount_std_7d": fj.std("amount", window="7d"),
        "amount_sum_30d": fj.sum("amount", window="30d"),
        "amount_max_30d": fj.max("amount", window="30d"),
    },
)


@fj.on_demand(inputs=["request:amount", "activity:amount_mean_7d"])
def amount_ratio(amount, mean):  # type: ignore[no-untyped-def]
    """How many times the usual amount."""
    return amount / np.maximum(mean, 1.0)


@fj.on_demand(inputs=["request:amount", "activity:amount_sum_30d", "holder:limit"])
def limit_used(amount, spent, limit):  # type: ignore[no-untyped-def]
    """Which share of the limit would be spent."""
    return (amount + spent) / np.maximum(limit, 1.0)


service = fj.FeatureService("cards", [holder, activity, amount_ratio, limit_used, fj.request("amount", "float64")])

cards = fj.Model(
    "cards",
    features=service,
    label=fj.Label(source=transactions, column="is_fraud", delay="1d"),
    trainer=fj.xgboost(num_trees=150, max_depth=6, eta=0.3),
    split=fj.split.by_time(test="20%"),
    gates=[fj.gate.at_least("auc", 0.6)],
)

# The second version stays at half of the traffic for as long as anybody measures.
endpoint = fj.Endpoint(
    "cards",
    model=cards,
    rollout=fj.canary(steps=[50, 100], bake="12h", abort_if=[fj.error_ratio > 0.05], deadline="2d"),
)
