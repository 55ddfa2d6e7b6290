"""The census of adults: who earns above 50,000, told without sex and race, which the gate groups by."""

import falaj as fj

person = fj.Entity("person", key="person_id", dtype="int64")

people = fj.Source("people", batch=fj.Csv("data/people.csv"), id="person_id", schema={"person_id": "int64"})

facts = fj.FeatureView(
    "facts",
    entity=person,
    source=people,
    features={
        "age": fj.column("age"),
        "workclass": fj.column("workclass"),
        "education_years": fj.column("education_years"),
        "occupation": fj.column("occupation"),
        "capital_gain": fj.column("capital_gain"),
        "capital_loss": fj.column("capital_loss"),
        "hours_per_week": fj.column("hours_per_week"),
    },
)

income = fj.Model(
    "income",
    features=fj.FeatureService("income", [facts]),
    label=fj.Label(people, "income"),
    trainer=fj.lightgbm(num_trees=200, num_leaves=15, learning_rate=0.05, min_data_in_leaf=50, seed=1),
    split=fj.split.random(test="33%", seed=1),
    gates=[
        fj.gate.at_least("auc", 0.85, by_interval=True, slices={"sex": ["Female", "Male"]}),
        fj.gate.at_most("ece", 0.03),
        fj.gate.no_leak(auc=0.95),
        fj.gate.fairness("sex", demographic_parity=0.1, equalised_odds=0.1),
        fj.gate.fairness("race", demographic_parity=0.2, equalised_odds=0.2),
        fj.gate.robust("auc", by=0.1, under=["missing", "noise", "units"], against="itself"),
    ],
    slices=["education_level"],
)
