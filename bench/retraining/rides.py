"""The hours of a bicycle hire: how many rides begin in the next one, by what is known when it begins.

`BENCH_RETRAIN` says what trains the model again: never, monthly, drift, performance, or both of the latter.
"""

import os

import falaj as fj

city = fj.Entity("city", key="city_id", dtype="string")

hours = fj.Source(
    "hours", stream=fj.Push(), id="hour_id", timestamp="at", lateness="8d",
    schema={
        "hour_id": "string", "city_id": "string", "at": "timestamp", "hr": "int64", "weekday": "int64",
        "workingday": "int64", "weathersit": "int64", "temp": "float64", "hum": "float64", "windspeed": "float64",
        "cnt": "int64",
    },
)  # fmt: skip

lately = fj.FeatureView(
    "lately", city, hours, {"last": fj.last("cnt"), "mean_24h": fj.mean("cnt", window="24h")}, delay="1h"
)
yesterday = fj.FeatureView("yesterday", city, hours, {"last": fj.last("cnt")}, delay="24h")
week_ago = fj.FeatureView("week_ago", city, hours, {"last": fj.last("cnt")}, delay="168h")

inputs = fj.FeatureService(
    "ride_inputs",
    [
        lately, yesterday, week_ago,
        fj.request("hr", "int64"), fj.request("weekday", "int64"), fj.request("workingday", "int64"),
        fj.request("weathersit", "int64"), fj.request("temp", "float64"), fj.request("hum", "float64"),
        fj.request("windspeed", "float64"),
    ],
)  # fmt: skip

rides = fj.Model(
    "rides",
    features=inputs,
    label=fj.Label(hours, "cnt", delay="1h"),
    task="regression",
    trainer=fj.lightgbm(num_trees=200, learning_rate=0.05, num_leaves=31, seed=1),
    split=fj.split.by_time(test="10%"),
    gates=[
        fj.gate.at_least("r2", 0.5),
        fj.gate.no_worse_than_production("rmse", relative=0.05),
        fj.gate.no_leak(r2=0.99),
    ],
)

drift = fj.on.drift()
worse = fj.on.performance("wape", at_most=0.2)
triggers = {
    "never": [],
    "monthly": [fj.on.schedule("monthly")],
    "drift": [drift],
    "performance": [worse],
    "both": [drift, worse],
}[os.environ.get("BENCH_RETRAIN", "never")]

demand = fj.Endpoint(
    "demand",
    rides,
    rollout=fj.canary(steps=[100], bake="12h", min_requests=12, abort_if=[fj.error_ratio > 0.2]),
    monitor=fj.monitor(window="14d", persistence=1, min_outcomes=168),
    retrain=fj.retrain(on=triggers, cooldown="28d", min_new_labels=168) if triggers else None,
)

unattended = fj.Policy("unattended", auto_promote=True)
