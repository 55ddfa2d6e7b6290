"""The JSON schema allows what is read, and nothing else."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from falaj.definitions.project import Definitions
from falaj.definitions.yaml.files import YamlFiles
from falaj.definitions.yaml.node import Node
from falaj.definitions.yaml.schema import json_schema
from falaj.definitions.yaml.text import read_nodes
from falaj.definitions.yaml.value import Values
from falaj.kernel.errors import FalajError
from support.json_schema import faults

SCHEMA = json_schema()
FILE = """\
falaj: 1
x-shared: &lately {count: {window: 1h}}
entities:
  - {name: card, key: [card_id, shop_id], dtype: [string, int64]}
sources:
  - name: tx
    batch: {csv: {path: data/*.csv, delimiter: ;}}
    stream: push
    timestamp: at
    schema: {card_id: string}
    checks: [{not_null: card_id}, {between: {column: amount, low: 0, high: 1.5, severity: warn}}, {unique: id}]
feature_views:
  - {name: activity, entity: card, source: tx, ttl: null, features: {n: *lately, last_country: {last: country}}}
on_demand_views:
  - {name: ratio, inputs: [request:amount], code: "def ratio(amount): return amount"}
feature_services:
  - {name: fraud, features: [activity, ratio, {request: amount}, {request: {name: hour, dtype: int64}}]}
models:
  - name: fraud
    features: fraud
    label: {source: tx, column: is_fraud, delay: 7d}
    trainer: {lightgbm: {num_trees: 5, num_leaves: 4, monotone: [1, 0]}}
    split: by_time
    gates: [{at_least: {metric: auc, bound: 0.9}}, {no_worse_than_production: auc}, {latency: {p99_ms: 5}}]
endpoints:
  - name: fraud
    model: fraud
    rollout: {canary: {steps: [10, 100], abort_if: [p99_ms > 10]}}
    retrain: {on: [drift, {schedule: weekly}, {performance: {metric: auc, at_least: 0.8}}], cooldown: 1h}
    monitor: {window: 500}
    defaults: {activity__n: 0.5}
policies:
  - {name: default, auto_promote: false}
"""


def plain(node: Node) -> Any:
    return Values(lambda *_: None).read(node, Any, "file")


def accepted(text: str) -> bool:
    """Whether it is read."""
    try:
        YamlFiles([("a.yaml", text.encode())], lambda _: {}).definitions(Definitions())
    except FalajError:
        return False
    return True


def allowed(text: str) -> bool:
    """Whether the schema allows it."""
    return not any(faults(plain(read_nodes(text.encode(), "a.yaml")[0]), SCHEMA, SCHEMA))


def test_a_whole_file_is_allowed() -> None:
    assert accepted(FILE)
    assert [*faults(plain(read_nodes(FILE.encode(), "a.yaml")[0]), SCHEMA, SCHEMA)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sources:", "source:"),
        ("timestamp: at", "timestmap: at"),
        ("timestamp: at", "timestamp: [at]"),
        ("name: tx", "id: tx"),
        ("{not_null: card_id}", "{not_nul: card_id}"),
        ("{not_null: card_id}", "not_null"),
        ("low: 0, ", ""),
        ("severity: warn", "severity: shout"),
        ("{window: 1h}", "{windw: 1h}"),
        ("{window: 1h}", "{}"),
        ("stream: push", "stream: pull"),
        ("num_trees: 5", "num_trees: many"),
        ("steps: [10, 100]", "steps: 10"),
        ("canary: {", "canry: {"),
        ("{window: 500}", "{windows: 500}"),
        ("auto_promote: false", "auto_promote: no"),
        ("{latency: {p99_ms: 5}}", "{latency: 5}"),
        ("activity__n: 0.5", "activity__n: much"),
        ("features: [activity, ratio,", "features: [activity, [ratio],"),
    ],
)
def test_what_is_not_read_is_not_allowed(old: str, new: str) -> None:
    assert FILE.count(old) == 1
    text = FILE.replace(old, new)
    assert (accepted(text), allowed(text)) == (False, False)


def test_it_describes_and_names_the_defaults() -> None:
    source = SCHEMA["$defs"]["source"]
    assert source["properties"]["lateness"]["default"] == "0s"
    assert "identifies an event" in source["properties"]["id"]["description"]
    assert source["required"] == ["name"]
    assert {*SCHEMA["properties"]} == {"falaj", *Definitions.__struct_fields__}
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA)) == SCHEMA


PIECES = [
    "",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "'",
    '"',
    "|\n",
    "&a ",
    "*a",
    "*lately",
    "!!x ",
    "#",
    ", ",
]
PIECES += [
    "null",
    "~",
    "true",
    "no",
    "012",
    "1e3",
    ".nan",
    ".inf",
    "-1",
    "9" * 40,
    "1h",
    "falaj",
    "name",
    "\x00",
    "é",
    "%",
    "---\n",
]
CODE = '  - {name: ratio, inputs: [request:amount], code: "def ratio(amount): return amount"}'


@given(
    st.lists(st.tuples(st.integers(0, len(FILE)), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=3)
)
def test_a_damaged_file_is_read_or_refused_and_never_a_fault(damages: list[tuple[int, int, str]]) -> None:
    text = FILE.replace(CODE, "").replace("ratio, ", "")
    for at, length, piece in damages:
        text = text[:at] + piece + text[at + length :]
    accepted(text)  # any other error than one of ours would come through
