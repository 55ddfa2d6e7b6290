"""Demand by the hour: how many will come in the next one, by what is known when it begins.

`falaj plan` shows what these definitions would change, `falaj apply` carries it out.
"""

import falaj as fj

# --- What features describe ------------------------------------------------------------------------------------------

place = fj.Entity("place", key="place_id", dtype="string")

# --- Where events come from ------------------------------------------------------------------------------------------

hours = fj.Source(
    "hours",
    batch=fj.Parquet("data/hours/*.parquet"),
    stream=fj.Push(),
    id="hour_id",  # the same id counts once
    timestamp="at",  # when the hour begins
    checks=[
        fj.check.not_null("hour_id"),
        fj.check.not_null("place_id"),
        fj.check.between("hour", 0, 23),
        fj.check.between("weekday", 0, 6),
        fj.check.between("demand", 0, 1_000_000),  # null passes: it is not known yet
    ],
    owner="operations",
)

# --- Features --------------------------------------------------------------------------------------------------------

# How many came is known when the hour is over: each view sees it that late, in training as in serving.
lately = fj.FeatureView(
    "lately", place, hours, {"last": fj.last("demand"), "mean_24h": fj.mean("demand", window="24h")}, delay="1h"
)
yesterday = fj.FeatureView("yesterday", place, hours, {"last": fj.last("demand")}, delay="24h")
week_ago = fj.FeatureView("week_ago", place, hours, {"last": fj.last("demand")}, delay="168h")

inputs = fj.FeatureService(
    "demand_inputs",
    [
        lately,
        yesterday,
        week_ago,
        fj.request("hour", "int64"),
        fj.request("weekday", "int64"),
        fj.request("workingday", "int64"),
        fj.request("temperature", "float64"),
        fj.request("humidity", "float64"),
        fj.request("wind", "float64"),
    ],
)

# --- What is learned -------------------------------------------------------------------------------------------------

demand_model = fj.Model(
    "demand",
    features=inputs,
    label=fj.Label(hours, "demand", delay="1h"),
    task="regression",
    trainer=fj.lightgbm(num_trees=200, learning_rate=0.05),
    split=fj.split.by_time(test="10%"),  # the newest hours
    gates=[
        fj.gate.at_least("r2", 0.6, by_interval=True),
        fj.gate.at_most("wape", 0.35),
        fj.gate.no_worse_than_production("rmse", relative=0.05),
        fj.gate.no_leak(r2=0.99),
        fj.gate.latency(p99_ms=10),
    ],
    owner="operations",
)

# --- How it is served and watched ------------------------------------------------------------------------------------

demand = fj.Endpoint(
    "demand",
    demand_model,
    rollout=fj.canary(steps=[10, 50, 100], bake="1m", min_requests=100, abort_if=[fj.error_ratio > 0.02]),
    monitor=fj.monitor(window=500, min_outcomes=168),
    # The realised error asks for a training, and so does every month: trees predict nothing beyond what they have seen.
    retrain=fj.retrain(
        on=[fj.on.performance("wape", at_most=0.35), fj.on.schedule("monthly")], cooldown="7d", min_new_labels=168
    ),
)
