"""YAML says whatever Python says: every constructor that `falaj` offers, and the same value of it."""

import datetime
import inspect
import sys
from types import ModuleType
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import falaj as fj
from falaj.definitions.aggregation import Aggregation
from falaj.definitions.check import Check
from falaj.definitions.gate import GateCheck
from falaj.definitions.project import KINDS, Definitions, describe
from falaj.definitions.retrain import Retrain, Trigger
from falaj.definitions.rollout import AbortRule, Canary
from falaj.definitions.split import Split
from falaj.definitions.trainer import Trainer
from falaj.definitions.yaml.constructor import constructors_of
from falaj.definitions.yaml.files import LISTS, YamlFiles
from falaj.definitions.yaml.form import form_of
from falaj.definitions.yaml.text import read_nodes
from falaj.definitions.yaml.value import Values
from falaj.kernel.errors import DefinitionError
from falaj.kernel.sentence import one_sentence

EXAMPLES: dict[str, tuple[Any, str]] = {
    "column": (fj.column("country"), "column: country"),
    "count": (fj.count(window="1h"), "count: {window: 1h}"),
    "count_distinct": (
        fj.count_distinct("country", window=fj.sawtooth("30d", hop="1h"), sketch="hll"),
        "count_distinct: {column: country, window: {sawtooth: {length: 30d, hop: 1h}}, sketch: hll}",
    ),
    "first": (fj.first("country", where="amount > 0"), "first: {column: country, where: amount > 0}"),
    "last": (fj.last("country"), "last: country"),
    "last_n": (fj.last_n("amount", 3, window="7d"), "last_n: {column: amount, n: 3, window: 7d}"),
    "last_non_null": (fj.last_non_null("country"), "last_non_null: country"),
    "quantile": (fj.quantile("amount", 0.95, window="7d"), "quantile: {column: amount, q: 0.95, window: 7d}"),
    "sawtooth": (
        fj.sum("amount", window=fj.sawtooth("7d", hop="1h")),
        "sum: {column: amount, window: {sawtooth: {length: 7d, hop: 1h}}}",
    ),
    "var": (fj.var("amount", window="7d"), "var: {column: amount, window: 7d}"),
    "max": (fj.max("amount", window="7d"), "max: {column: amount, window: 7d}"),
    "mean": (fj.mean("amount", window="7d"), "mean: {column: amount, window: 7d}"),
    "min": (fj.min("amount", window="7d"), "min: {column: amount, window: 7d}"),
    "std": (fj.std("amount", window="7d"), "std: {column: amount, window: 7d}"),
    "sum": (fj.sum("amount", window="7d"), "sum: {column: amount, window: 7d}"),
    "check.between": (
        fj.check.between("amount", 0, 1e5, severity="warn"),
        "between: {column: amount, low: 0, high: 1e5, severity: warn}",
    ),
    "check.in_set": (fj.check.in_set("c", ["no", "OM", 0, None]), "in_set: {column: c, values: [no, OM, 0, null]}"),
    "check.matches": (fj.check.matches("c", "[A-Z]{2}"), "matches: {column: c, pattern: '[A-Z]{2}'}"),
    "check.not_null": (fj.check.not_null("id"), "not_null: id"),
    "check.unique": (fj.check.unique("id"), "unique: id"),
    "gate.at_least": (
        fj.gate.at_least("auc", 0.9, slices=["sex"]),
        "at_least: {metric: auc, bound: 0.9, slices: [sex]}",
    ),
    "gate.at_most": (fj.gate.at_most("log_loss", 1), "at_most: {metric: log_loss, bound: 1}"),
    "gate.no_worse_than_production": (
        fj.gate.no_worse_than_production("auc", by=0.01, slices={"country": ["OM"]}),
        "no_worse_than_production: {metric: auc, by: 0.01, slices: {country: [OM]}}",
    ),
    "gate.no_leak": (fj.gate.no_leak(allow=["amount"]), "no_leak: {allow: [amount]}"),
    "gate.fairness": (
        fj.gate.fairness("sex", equalised_odds=0.1, groups=["F", "M"]),
        "fairness: {attribute: sex, equalised_odds: 0.1, groups: [F, M]}",
    ),
    "gate.robust": (
        fj.gate.robust("auc", by=0.1, under=["attack"], mutable=["amount"]),
        "robust: {metric: auc, by: 0.1, under: [attack], mutable: [amount]}",
    ),
    "Cost": (fj.Cost(5, 200), "cost: {false_positive: 5, false_negative: 200}"),
    "gate.latency": (fj.gate.latency(p99_ms=5), "latency: {p99_ms: 5}"),
    "split.by_time": (fj.split.by_time(test="25%"), "by_time: {test: 25%}"),
    "split.random": (fj.split.random(test=0.3, seed=4), "random: {test: 0.3, seed: 4}"),
    "on.drift": (fj.on.drift(), "drift"),
    "on.schedule": (fj.on.schedule("30 4 * * 1-5"), "schedule: 30 4 * * 1-5"),
    "on.new_labels": (fj.on.new_labels(10_000), "new_labels: 10000"),
    "on.new_data": (fj.on.new_data(10_000), "new_data: 10000"),
    "on.performance": (fj.on.performance("auc", at_least=0.8), "performance: {metric: auc, at_least: 0.8}"),
    "on.retrain": (fj.on.retrain(on=[fj.on.drift()]), "retrain: {on: [drift]}"),
    "retrain": (
        fj.retrain(on=[fj.on.drift(), fj.on.new_labels(5)], min_new_labels=3),
        "retrain: {on: [drift, {new_labels: 5}], min_new_labels: 3}",
    ),
    "canary": (
        fj.canary(steps=[5, 100], bake="30s", abort_if=[fj.error_ratio > 0.05], deadline="2h"),
        "canary: {steps: [5, 100], bake: 30s, abort_if: [error_ratio > 0.05], deadline: 2h}",
    ),
    "error_ratio": (fj.error_ratio > 0.05, "error_ratio > 0.05"),
    "p99_ms": (fj.p99_ms > 10, "p99_ms > 10"),
    "monitor": (
        fj.monitor(window="1d", alpha=0.05, segments=["country"], reference="training"),
        "monitor: {window: 1d, alpha: 0.05, segments: [country], reference: training}",
    ),
    "watch": (
        fj.watch(stale_after="1h", max_missing={"amount": 0.1}),
        "watch: {stale_after: 1h, max_missing: {amount: 0.1}}",
    ),
    "lightgbm": (fj.lightgbm(num_leaves=8, lambda_l2=5.0), "lightgbm: {num_leaves: 8, lambda_l2: 5.0}"),
    "xgboost": (fj.xgboost(), "xgboost"),
    "sklearn": (
        fj.sklearn("sklearn.linear_model.LogisticRegression", C=0.5, class_weight={"a": [1]}),
        "sklearn: {estimator: sklearn.linear_model.LogisticRegression, C: 0.5, class_weight: {a: [1]}}",
    ),
    "river": (fj.river(learning_rate=0.05, l2=0.1), "river: {learning_rate: 0.05, l2: 0.1}"),
    "WarmStart": (
        fj.xgboost(warm_start=fj.WarmStart(rounds=10, max_generations=3)),
        "xgboost: {warm_start: {rounds: 10, max_generations: 3}}",
    ),
    "python": (fj.python("net:Net", folder="net", layers=2), "python: {entry: net:Net, folder: net, layers: 2}"),
    "tuned": (
        fj.tuned(
            fj.lightgbm(num_trees=40),
            {"num_leaves": fj.search.int(8, 128), "learning_rate": fj.search.float(1e-3, 0.3, log=True)},
            trials=5,
            timeout="10m",
            validation="25%",
            prune="hyperband",
        ),
        "tuned: {trainer: {lightgbm: {num_trees: 40}}, space: {num_leaves: {int: {low: 8, high: 128}}, learning_rate: "
        "{float: {low: 1e-3, high: 0.3, log: true}}}, trials: 5, timeout: 10m, validation: 25%, prune: hyperband}",
    ),
    "search.int": (fj.search.int(8, 128), "int: {low: 8, high: 128}"),
    "search.float": (fj.search.float(0.1, 1), "float: {low: 0.1, high: 1}"),
    "search.choice": (fj.search.choice(["gini", None, 3]), "choice: [gini, null, 3]"),
    "automl": (
        fj.automl(budget="30s", metric="log_loss", families=["lightgbm", "random_forest"], seed=3),
        "automl: {budget: 30s, metric: log_loss, families: [lightgbm, random_forest], seed: 3}",
    ),
    "request": (fj.request("amount"), "request: amount"),
    "RequestField": (fj.RequestField("country", "string"), "request: {name: country, dtype: string}"),
    "Parquet": (fj.Parquet("data/*.parquet"), "parquet: data/*.parquet"),
    "Cache": (fj.Cache("2s", 8), "cache: {ttl: 2s, max_mib: 8}"),
    "Challenger": (fj.Challenger(by="errors", margin=0.01), "challenger: {by: errors, margin: 0.01}"),
    "Csv": (fj.Csv("a.csv", delimiter=";"), "csv: {path: a.csv, delimiter: ;}"),
    "Push": (fj.Push(), "push"),
    "Follow": (fj.Follow("events/*.jsonl"), "follow: events/*.jsonl"),
    "prediction_log": (
        fj.prediction_log(sample_ratio=0.5, redact={"card_id": "hash", "amount": "drop"}),
        "prediction_log: {sample_ratio: 0.5, redact: {card_id: hash, amount: drop}}",
    ),
    "Monitor": (fj.Monitor(min_outcomes=5), "monitor: {min_outcomes: 5}"),
}
"""Each part of a definition, in Python and in YAML."""

WHOLE = {"Entity", "Source", "FeatureView", "OnDemandView", "FeatureService", "Label", "Model", "Endpoint", "Policy",
         "Pipeline", "Ensemble", "mean_of", "vote_of", "stack_of", "cascade_of"}  # fmt: skip
"""Definitions with a name, and parts that refer to one: `test_definitions_of_every_kind` writes them."""


def unresolved(kinds: tuple[str, ...], name: str, place: object) -> Any:
    raise AssertionError(f"{place}: {name} of {kinds}")


def read(text: str, kind: Any, path: str = "here") -> Any:
    return Values(unresolved).read(read_nodes(text.encode(), "a.yaml")[0], kind, path)


def offered() -> dict[str, Any]:
    """Everything public by which a definition, or a part of one, is made."""
    found: dict[str, Any] = {}
    for name in fj.__all__:
        value = getattr(fj, name)
        if isinstance(value, ModuleType):
            functions = inspect.getmembers(value, inspect.isfunction)
            found |= {f"{name}.{k}": v for k, v in functions if v.__module__ == value.__name__ and k[0] != "_"}
        else:
            found[name] = value
    # What acts or is for Python's own functions; an on-demand view's function stands in the file.
    elsewhere = {"open", "on_demand", "step", "pipeline", "secret", "Secret"}
    return {k: v for k, v in found.items() if k not in elsewhere and not k.startswith("ref.")}


def test_everything_that_falaj_offers_has_an_example() -> None:
    assert {*EXAMPLES, *WHOLE} == {*offered()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_is_the_same_value(name: str) -> None:
    value, text = EXAMPLES[name]
    made = read(text, type(value), "endpoints")
    assert made == value
    assert msgspec.to_builtins(made) == msgspec.to_builtins(value)


def test_a_field_takes_parts_without_saying_its_own_name_twice() -> None:
    assert read("{window: 500}", fj.Monitor, "endpoint fraud.monitor") == fj.monitor(window=500)
    assert read("{on: [drift]}", Retrain | None, "endpoint fraud.retrain") == fj.retrain(on=[fj.on.drift()])
    with pytest.raises(DefinitionError, match="has 2 fields"):
        read("{steps: [100], bake: 1m}", Canary, "endpoint fraud.rollout")


KINDS_IN_YAML = """\
falaj: 1
entities:
- {name: pair, key: [card_id, shop_id], dtype: [string, int64]}
- {name: card, key: card_id}
sources:
- {name: tx, batch: {csv: tx.csv}, timestamp: at, schema: {is_fraud: int64}, lateness: 7d, owner: 012, created: null}
- name: pushed
  stream: push
  schema: {card_id: string, no: int64}
  checks: [{not_null: card_id}]
feature_views:
- {name: activity, entity: card, source: source:tx, features: {n: {count: {window: 1h}}}, ttl: 2d}
on_demand_views:
- name: twice
  inputs: [request:amount]
  dtype: int64
  code: |
    FACTOR = 2

    def twice(amount):
        return amount * FACTOR
feature_services:
- {name: fraud, features: [activity, twice, {request: amount}]}
models:
- name: fraud
  features: fraud
  label: {source: tx, column: is_fraud, delay: 7d}
  trainer: lightgbm
  gates: [{at_least: {metric: auc, bound: 0.9}}]
endpoints:
- {name: fraud, model: fraud, defaults: {activity__n: 0}, monitor: {window: 200}}
- {name: again, model: fraud}
ensembles:
- {name: average, combine: {mean_of: [fraud, again]}}
- {name: ballot, combine: {vote_of: {members: [fraud, again], threshold: 0.7, at_least: 1}}}
- {name: stacked, combine: {stack_of: {members: [fraud, again], weights: [1.5, 0.5], bias: -1}}}
- {name: careful, combine: {cascade_of: {cheap: fraud, costly: again, low: 0.2, high: 0.8}}}
policies:
- {name: ours, auto_promote: true, approvals: 2}
pipelines:
- name: nightly
  function: etl:nightly
  schedule: 30 2 * * *
  time_zone: Europe/Berlin
  at: day
  on: [{rows: {source: tx, at_least: 10}}, {file: tx}]
  notify: [failure, success]
"""

FACTOR = 2


@fj.on_demand(inputs=["request:amount"], dtype="int64")
def twice(amount: Any) -> Any:
    return amount * FACTOR


def kinds_in_python() -> list[Any]:
    card = fj.Entity("card", key="card_id")
    tx = fj.Source(
        "tx", batch=fj.Csv("tx.csv"), timestamp="at", schema={"is_fraud": "int64"}, lateness="7d", owner="012"
    )
    pushed = fj.Source(
        "pushed", stream=fj.Push(), schema={"card_id": "string", "no": "int64"}, checks=[fj.check.not_null("card_id")]
    )
    activity = fj.FeatureView("activity", entity=card, source=tx, features={"n": fj.count(window="1h")}, ttl="2d")
    code = twice.code.replace("def twice(amount: Any) -> Any", "def twice(amount)").replace(
        "from typing import Any as Any\n", ""
    )
    doubled = fj.OnDemandView("twice", ("request:amount",), code, "int64")
    service = fj.FeatureService("fraud", [activity, doubled, fj.request("amount")])
    fraud = fj.Model(
        "fraud", service, fj.Label(tx, "is_fraud", "7d"), fj.lightgbm(), gates=[fj.gate.at_least("auc", 0.9)]
    )
    first = fj.Endpoint("fraud", fraud, defaults={"activity__n": 0}, monitor=fj.monitor(window=200))
    pair = [first, fj.Endpoint("again", fraud)]
    return [
        fj.Entity("pair", key=("card_id", "shop_id"), dtype=("string", "int64")), card, tx, pushed, activity, doubled,
        service, fraud, *pair,
        fj.Ensemble("average", fj.mean_of(pair)),
        fj.Ensemble("ballot", fj.vote_of(pair, threshold=0.7, at_least=1)),
        fj.Ensemble("stacked", fj.stack_of(pair, weights=[1.5, 0.5], bias=-1)),
        fj.Ensemble("careful", fj.cascade_of(*pair, low=0.2, high=0.8)),
        fj.Policy("ours", auto_promote=True, approvals=2),
        fj.Pipeline(
            "nightly", "etl:nightly", "30 2 * * *", "Europe/Berlin", "day",
            (fj.on.rows("tx", at_least=10), fj.on.file("tx")), ("failure", "success"),
        ),
    ]  # fmt: skip


def test_definitions_of_every_kind() -> None:
    files = YamlFiles([("a.yaml", KINDS_IN_YAML.encode())], unresolved_module)
    made = [definition for _, definition in files.definitions(Definitions())]
    assert [describe(one) for one in made] == [describe(one) for one in kinds_in_python()]
    assert made == kinds_in_python()
    assert {type(one) for one in made} == {*KINDS} == {*LISTS.values()}


def unresolved_module(name: str) -> dict[str, Any]:
    raise AssertionError(name)


TEXT_TAG = "tag:yaml.org,2002:str"


class QuotingDumper(yaml.SafeDumper):
    """Writes every text in quotes: the library leaves out those that YAML 1.1 needs not, such as of '1e3'."""


QuotingDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


# --- What people write, and what YAML 1.1 would have made of it ------------------------------------------------------

TRAPS = ["no", "yes", "on", "off", "NO", "y", "012", "1e3", "1_000", "1:30", "2025-01-01", "null", "~", "0x1f", ".inf"]
texts = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12))
words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
lengths = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 90), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
numbers = st.one_of(st.integers(-(1 << 40), 1 << 40), st.floats(-1e9, 1e9))
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
metrics = st.sampled_from(["auc", "recall", "brier"])
PARTS: list[tuple[Any, Any, st.SearchStrategy[dict[str, Any]]]] = [
    (Aggregation, fj.count, st.fixed_dictionaries({"window": lengths}, optional={"column": words})),
    (Aggregation, fj.last, st.fixed_dictionaries({"column": words}, optional={"window": lengths})),
    (Check, fj.check.in_set, st.fixed_dictionaries({"column": words, "values": st.lists(anything, min_size=1)})),
    (Check, fj.check.between, st.fixed_dictionaries({"column": words, "low": st.just(-1.5), "high": st.just(1 << 50)})),
    (GateCheck, fj.gate.at_most, st.fixed_dictionaries({"metric": metrics, "bound": numbers})),
    (Split, fj.split.random, st.fixed_dictionaries({"test": st.floats(0.01, 0.9), "seed": st.integers(0, 9)})),
    (Trigger, fj.on.new_labels, st.fixed_dictionaries({"count": st.integers(1, 1 << 60)})),
    (Trainer, fj.xgboost, st.dictionaries(words.filter(lambda word: word != "estimator"), anything, max_size=3)),
    (Canary, fj.canary, st.fixed_dictionaries({"bake": lengths}, optional={"min_requests": st.integers(1, 999)})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "make", "strategy"), PARTS, ids=[make.__name__ for _, make, _ in PARTS])
@given(data=st.data(), flow=st.booleans())
def test_what_python_makes_of_arguments_yaml_makes_of_fields(
    kind: type, make: Any, strategy: Any, data: st.DataObject, flow: bool
) -> None:
    arguments = data.draw(strategy)
    if make is fj.xgboost:
        arguments = {k: v for k, v in arguments.items() if k not in ("num_trees", "seed")}
    text = yaml.dump(
        {make.__name__: arguments}, Dumper=QuotingDumper, default_flow_style=flow, allow_unicode=True, sort_keys=False
    )
    made = read(text, kind)
    assert made == make(**arguments)
    assert msgspec.json.encode(made) == msgspec.json.encode(make(**arguments))


@pytest.mark.parametrize("text", [trap for trap in TRAPS if trap not in ("null", "~")])
def test_where_a_text_is_expected_it_stays_one_without_quotes(text: str) -> None:
    assert read(text, str) == text
    assert read(f"{text}: {text}", dict[str, str]) == {text: text}
    assert read(f"[{text}]", tuple[str, ...]) == (text,)


def test_lists_and_scalars_of_other_types() -> None:
    assert read("null", str | None) is None
    assert read("'null'", str | None) == "null"
    assert read("5", float | str) == 5
    assert read("20%", float | str) == "20%"
    assert read("[1, 2]", list[int] | tuple[int, ...]) == [1, 2]
    assert read("5", int | None) == 5
    assert read("2025-01-01", datetime.date) == datetime.date(2025, 1, 1)  # of a type that only msgspec knows


WRONG: dict[str, tuple[str, Any, str, str]] = {
    "misspelt_field": (
        "count: {windw: 1h}", Aggregation,
        "a.yaml:1:9: here.count has no field 'windw'", "did you mean 'window'?"),
    "missing_field": ("sum: {column: a}", Aggregation, "a.yaml:1:6: here.sum needs 'window'", "window"),
    "misspelt_part": ("cuont: {window: 1h}", Aggregation, "a.yaml:1:1: here knows no 'cuont'", "'count'"),
    "two_parts": ("{count: {window: 1h}, last: a}", Aggregation, "a.yaml:1:1: here has 2 fields", "one of column"),
    "no_part": ("{}", Aggregation, "a.yaml:1:1: here has 0 fields", "one of column"),
    "short_is_not_enough": ("at_least: auc", GateCheck, "a.yaml:1:11: here.at_least is 'auc'", "metric, bound"),
    "bare_is_not_enough": ("count", Aggregation, "a.yaml:1:1: here needs 'window'", "window"),
    "positions": ("between: [amount, 0, 1]", Check, "a.yaml:1:10: here.between is a list", "column, low, high"),
    "value_of_a_field": (
        "count:\n  window: 1 hour", Aggregation,
        "a.yaml:2:11: count window = '1 hour' is not a duration", "'10m'"),
    "value_of_the_part": ("abort_rule: error_ratio > 5", AbortRule, "a.yaml:1:13: abort rule error_", "0 and 1"),
    "no_rule": ("error_ratio < 5", AbortRule, "a.yaml:1:1: abort rule 'error_ratio < 5' is not one", "p99_ms"),
    "number_for_text": ("request: {name: amount, dtype: 5}", fj.RequestField, "a.yaml:1:32: request field", "float64"),
    "text_for_number": ("new_labels: many", Trigger, "a.yaml:1:13: here.new_labels is 'many'", "a whole number"),
    "quoted_number": ("new_labels: '5'", Trigger, "here.new_labels is the text '5'", "without quotes"),
    "underscores": ("new_labels: 10_000", Trigger, "here.new_labels is '10_000'", "without underscores"),
    "fraction": ("new_labels: 1.5", Trigger, "here.new_labels is '1.5'", "a whole number"),
    "truth_for_number": ("new_labels: true", Trigger, "here.new_labels is 'true'", "a whole number"),
    "number_for_truth": ("1", bool, "here is '1'", "true or false"),
    "yes_for_truth": ("yes", bool, "here is 'yes'", "true or false"),
    "octal": ("new_labels: 010", Trigger, "a.yaml:1:13: 010 could be decimal or octal", "no zero"),
    "choice": (
        "not_null: {column: a, severity: rejct}", Check,
        "a.yaml:1:33: here.not_null.severity is 'rejct'", "'reject'"),
    "nothing": ("not_null: {column: }", Check, "here.not_null.column is empty", "a text"),
    "list_for_text": ("[a]", str, "a.yaml:1:1: here is a list", "a text"),
    "text_for_list": ("a", tuple[str, ...], "a.yaml:1:1: here is 'a'", "a list"),
    "mapping_for_list": ("{a: 1}", tuple[str, ...], "here is a mapping", "a list"),
    "list_for_mapping": ("[a]", dict[str, str], "here is a list", "a mapping"),
    "fields_of_what_has_none": ("push: {to: x}", fj.Push, "here.push is a mapping", "{}"),
    "swapped": ("between: {column: a, low: 2, high: 1}", Check, "a.yaml:1:36: check between('a')", "swap them"),
    "hint_of_python": ("canary: {steps: [10]}", Canary, "a.yaml:1:9: canary steps [10]", "steps=[10, 50, 100]"),
    "test_share": ("by_time: {test: 20}", Split, "a.yaml:1:", "test='20%'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_place_field_value_and_fix(name: str) -> None:
    text, kind, message, hint = WRONG[name]
    with pytest.raises(DefinitionError) as refused:
        read(text, kind)
    assert message in refused.value.message
    assert hint in refused.value.hint
    assert one_sentence(refused.value.message) == refused.value.message


def test_the_constructors_are_read_and_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that is added beside the others, or a parameter of one, is YAML's too."""
    module = sys.modules[Split.__module__]

    def by_group(column: str, *, test: float = 0.2) -> Split:
        return Split("random", test, len(column))

    by_group.__module__ = module.__name__
    monkeypatch.setattr(module, "by_group", by_group, raising=False)
    for cached in (constructors_of, form_of):
        cached.cache_clear()
    try:
        assert read("by_group: {column: card, test: 0.5}", Split) == Split("random", 0.5, 4)
    finally:
        monkeypatch.undo()
        for cached in (constructors_of, form_of):
            cached.cache_clear()
