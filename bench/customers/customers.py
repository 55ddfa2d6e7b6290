"""The project of `bench/features.py`: one column of a customer's events, and a model whose labels ask for it."""

import falaj as fj

customer = fj.Entity("customer", key="customer_id", dtype="int64")

events = fj.Source("events", batch=fj.Parquet("events.parquet"), timestamp="at", created="known", lateness="2d")

labels = fj.Source("labels", batch=fj.Parquet("labels.parquet"), timestamp="event_timestamp")

spend = fj.FeatureView("spend", customer, events, {"amount": fj.column("amount")}, ttl="7d")

customers = fj.Model(
    "customers",
    features=fj.FeatureService("customers", [spend]),
    label=fj.Label(source=labels, column="label"),
    trainer=fj.xgboost(),
)
