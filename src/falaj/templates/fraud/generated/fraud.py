"""Card fraud: what there is, what is learned from it, and how it is served and watched.

`falaj plan` shows what these definitions would change, `falaj apply` carries it out.
"""

import numpy as np

import falaj as fj

# --- What features describe ------------------------------------------------------------------------------------------

customer = fj.Entity("customer", key="customer_id", dtype="string")
terminal = fj.Entity("terminal", key="terminal_id", dtype="string")

# --- Where events come from ------------------------------------------------------------------------------------------

transactions = fj.Source(
    "transactions",
    batch=fj.Parquet("data/transactions/*.parquet"),
    stream=fj.Push(),
    id="transaction_id",  # the same id counts once; with a later `ingested_at` it corrects
    timestamp="event_time",
    created="ingested_at",
    checks=[
        fj.check.not_null("transaction_id"),
        fj.check.not_null("customer_id"),
        fj.check.not_null("terminal_id"),
        fj.check.between("amount", 0, 100_000),
        fj.check.between("hour", 0, 23),
        fj.check.in_set("is_fraud", [0, 1]),  # null passes: the label is not known yet
        fj.check.between("amount", 0.01, 5_000, severity="warn"),
    ],
    owner="payments",
)

# A payment turns out to be fraud days later. That moment is an event of its own, and it is what makes "how much fraud
# was there lately" a feature that looks at nothing that was not known at the time.
chargebacks = fj.Source(
    "chargebacks",
    batch=fj.Parquet("data/chargebacks/*.parquet"),
    stream=fj.Push(),
    id="transaction_id",
    timestamp="known_at",
    created="known_at",  # what happened is that it became known
    checks=[fj.check.not_null("transaction_id")],
    lateness="30d",  # labels are loaded in bulk, before and after the payments of the same days
    owner="payments",
)

# --- Features --------------------------------------------------------------------------------------------------------

customer_activity = fj.FeatureView(
    "customer_activity",
    entity=customer,
    source=transactions,
    features={
        "transactions_1d": fj.count(window="1d"),
        "transactions_7d": fj.count(window="7d"),
        "transactions_30d": fj.count(window="30d"),
        "amount_mean_1d": fj.mean("amount", window="1d"),
        "amount_mean_7d": fj.mean("amount", window="7d"),
        "amount_mean_30d": fj.mean("amount", window="30d"),
    },
    owner="fraud-team",
)

terminal_activity = fj.FeatureView(
    "terminal_activity",
    entity=terminal,
    source=transactions,
    features={
        "transactions_1d": fj.count(window="1d"),
        "transactions_7d": fj.count(window="7d"),
        "transactions_30d": fj.count(window="30d"),
        "amount_mean_1d": fj.mean("amount", window="1d"),
        "amount_mean_7d": fj.mean("amount", window="7d"),
        "amount_mean_30d": fj.mean("amount", window="30d"),
    },
    owner="fraud-team",
)

customer_chargebacks = fj.FeatureView(
    "customer_chargebacks",
    entity=customer,
    source=chargebacks,
    features={"frauds_30d": fj.count(window="30d")},
    owner="fraud-team",
)

terminal_chargebacks = fj.FeatureView(
    "terminal_chargebacks",
    entity=terminal,
    source=chargebacks,
    features={"frauds_7d": fj.count(window="7d"), "frauds_30d": fj.count(window="30d")},
    owner="fraud-team",
)


# On-demand features take NumPy arrays and return one: the same code offline and online, pinned in each model version.
@fj.on_demand(inputs=["request:amount", "customer_activity:amount_mean_30d"])
def amount_ratio(amount, amount_mean_30d):
    """This amount over the customer's usual one; NaN, "not known", for a customer without a past."""
    return amount / np.maximum(amount_mean_30d, 1.0)


@fj.on_demand(inputs=["request:hour"])
def at_night(hour):
    """1.0 from ten in the evening until six in the morning, UTC."""
    return ((hour >= 22) | (hour < 6)).astype(np.float64)


# Request fields come with each request; in training they are the columns of the label source's row.
fraud_features = fj.FeatureService(
    "fraud",
    [
        fj.request("amount", "float64"),
        fj.request("hour", "int64"),
        fj.request("merchant_category", "string"),
        fj.request("device_kind", "string"),
        amount_ratio,
        at_night,
        customer_activity,
        terminal_activity,
        customer_chargebacks,
        terminal_chargebacks,
    ],
)

# --- The model and its gate ------------------------------------------------------------------------------------------

fraud = fj.Model(
    "fraud",
    features=fraud_features,
    label=fj.Label(source=transactions, column="is_fraud", delay="7d"),
    trainer=fj.lightgbm(num_trees=150, num_leaves=8, learning_rate=0.05, min_data_in_leaf=200, lambda_l2=5.0, seed=1),
    split=fj.split.by_time(test="20%"),
    gates=[
        # Measured over twenty towns: AUC 0.88 to 0.99, average precision 0.37 to 0.78.
        fj.gate.at_least("auc", 0.85),
        fj.gate.at_least("average_precision", 0.30),
        # In twenty towns a later model was worse on the same rows by up to 0.016, by chance alone.
        fj.gate.no_worse_than_production("auc", by=0.02),
        fj.gate.latency(p99_ms=10),
    ],
    owner="fraud-team",
)

# --- Serving, watching, training again -------------------------------------------------------------------------------

fraud_endpoint = fj.Endpoint(
    "fraud",
    model=fraud,
    rollout=fj.canary(
        steps=[10, 50, 100],
        bake="3s",  # for a demonstration; give it an hour and more where money moves
        min_requests=50,
        abort_if=[fj.error_ratio > 0.05, fj.p99_ms > 50],
    ),
    # 1000 decisions are about one day here: shorter windows would find "drift" between morning and evening.
    monitor=fj.monitor(window=1000, persistence=2, psi_floor=0.2),
    # Drift alone trains nothing: a run waits until the labels of the changed world are there.
    retrain=fj.retrain(on=[fj.on.drift()], cooldown="0s", min_new_labels=20_000),
)

# A version that passed its gate waits for the approval of someone who did not train it.
policy = fj.Policy("default", auto_promote=False, approvals=1)
