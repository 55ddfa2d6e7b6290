"""The file of 10,000 card payments without dates: what is reachable, by splits that differ in their seed only."""

import os

import falaj as fj

payment = fj.Entity("payment", key="transaction_id", dtype="int64")

payments = fj.Source(
    "payments", batch=fj.Csv("data/payments.csv"), id="transaction_id", schema={"transaction_id": "int64"}
)

facts = fj.FeatureView(
    "facts",
    entity=payment,
    source=payments,
    features={
        "amount": fj.column("amount"),
        "transaction_hour": fj.column("transaction_hour"),
        "merchant_category": fj.column("merchant_category"),
        "foreign_transaction": fj.column("foreign_transaction"),
        "location_mismatch": fj.column("location_mismatch"),
        "device_trust_score": fj.column("device_trust_score"),
        "velocity_last_24h": fj.column("velocity_last_24h"),
        "cardholder_age": fj.column("cardholder_age"),
    },
)

fraud = fj.Model(
    "fraud",
    features=fj.FeatureService("fraud", [facts]),
    label=fj.Label(payments, "is_fraud"),
    trainer=fj.lightgbm(num_trees=100, num_leaves=15, learning_rate=0.1, seed=1),
    split=fj.split.random(test="30%", seed=int(os.environ.get("BENCH_SEED", "1"))),
    gates=[
        fj.gate.at_least("auc", 0.95, by_interval=True),
        fj.gate.at_least("f1", 0.90, by_interval=True),
        fj.gate.no_leak(auc=0.99),
        fj.gate.robust(
            "auc", by=0.1, under=["missing", "noise", "units", "attack"], mutable=["facts:amount"], against="itself"
        ),
    ],
)
