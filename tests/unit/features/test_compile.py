"""Definitions to specs: types, order, digests and errors that name what is wrong."""

import re
from typing import Any

import msgspec
import pytest

import falaj as fj
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import ViewSpec
from falaj.features.compile import compile_service, compile_view
from falaj.features.dialect import DIALECTS
from falaj.features.point_in_time import last_n_sql, one_row_sql, windowed_sql
from falaj.features.point_in_time_join import events_sql, features_sql
from falaj.kernel.errors import DefinitionError
from support.feature_worlds import SETS, make_service

SCHEMA = {"card": "string", "shop": "int64", "amount": "float64", "points": "int64", "ok": "bool", "at": "timestamp"}
CARD = fj.Entity("card", key="card")
TX = fj.Source("tx", stream=fj.Push(), id="card", timestamp="at", schema=SCHEMA, lateness="1h")


def view(entity: fj.Entity = CARD, source: fj.Source = TX, ttl: str | None = None, **features: Any) -> FeatureView:
    return fj.FeatureView("v", entity=entity, source=source, features=features, ttl=ttl)


def compiled(**features: Any) -> ViewSpec:
    return compile_view(view(**features), SCHEMA)


@pytest.mark.parametrize(
    ("feature", "dtype"),
    [
        (fj.count(window="1h"), "int64"),
        (fj.count("card", window="1h"), "int64"),
        (fj.sum("points", window="1h"), "int64"),
        (fj.sum("ok", window="1h"), "int64"),
        (fj.sum("amount", window="1h"), "float64"),
        (fj.mean("points", window="1h"), "float64"),
        (fj.std("ok", window="1h"), "float64"),
        (fj.min("points", window="1h"), "int64"),
        (fj.max("ok", window="1h"), "bool"),
        (fj.max("at", window="1h"), "timestamp"),
        (fj.last("card"), "string"),
        (fj.column("amount"), "float64"),
    ],
)
def test_types(feature: Any, dtype: str) -> None:
    assert compiled(x=feature).features[0].dtype == dtype


@pytest.mark.parametrize("function", [fj.sum, fj.mean, fj.std, fj.min, fj.max])
def test_text_cannot_be_added_up(function: Any) -> None:
    with pytest.raises(DefinitionError, match=r"view 'v': feature 'x': \w+\('card'\) .* string") as error:
        compiled(x=function("card", window="1h"))
    assert "fj.last" in error.value.hint
    with pytest.raises(DefinitionError):
        compiled(x=fj.sum("at", window="1h"))


def test_unknown_columns_are_named_with_what_there_is() -> None:
    with pytest.raises(DefinitionError, match=r"'v': feature 'x' reads column 'amuont'.*'tx' \(card, shop") as error:
        compiled(x=fj.column("amuont"))
    assert error.value.hint == "did you mean 'amount'?"
    with pytest.raises(DefinitionError, match="key 'crad'"):
        compile_view(view(fj.Entity("card", key="crad"), x=fj.column("amount")), SCHEMA)
    with pytest.raises(DefinitionError, match=r"'shop' .* is string, and the column .* is int64"):
        compile_view(view(fj.Entity("shop", key="shop"), x=fj.column("amount")), SCHEMA)
    with pytest.raises(DefinitionError, match="source 'tx' are not known"):
        compile_service(fj.FeatureService("s", [view(x=fj.column("amount"))]), {})


def test_ttl_needs_time() -> None:
    timeless = fj.Source("rows", stream=fj.Push(), schema=SCHEMA)
    with pytest.raises(DefinitionError, match="ttl='1h'"):
        compile_view(view(source=timeless, ttl="1h", x=fj.column("amount")), SCHEMA)


def test_horizon_is_the_longest_window_and_the_lateness() -> None:
    hour_us = 3_600_000_000
    assert compiled(a=fj.count(window="2h"), b=fj.column("amount")).horizon_us == 3 * hour_us
    assert compiled(b=fj.column("amount")).horizon_us == hour_us


def test_digest_follows_the_meaning_and_nothing_else() -> None:
    same = compiled(x=fj.sum("amount", window="1h"))
    owned = msgspec.structs.replace(view(x=fj.sum("amount", window="60m")), owner="someone")
    assert compile_view(owned, SCHEMA | {"more": "string"}).digest == same.digest
    lazier = msgspec.structs.replace(TX, lateness="2h")
    others = [
        compiled(x=fj.sum("amount", window="2h")),
        compiled(x=fj.sum("points", window="1h")),
        compiled(y=fj.sum("amount", window="1h")),
        compiled(x=fj.mean("amount", window="1h")),
        compile_view(view(ttl="1h", x=fj.sum("amount", window="1h")), SCHEMA),
        compile_view(view(source=lazier, x=fj.sum("amount", window="1h")), SCHEMA),
        compile_view(view(x=fj.sum("amount", window="1h")), SCHEMA | {"amount": "int64"}),
    ]
    digests = {spec.digest for spec in others}
    assert len(digests) == len(others)
    assert same.digest not in digests


def test_outputs_are_stored_features_and_then_the_rest_in_order() -> None:
    amount = fj.request("amount")
    ratio = fj.OnDemandView("ratio", ("request:amount", "v:b"), "def ratio(x, y):\n    return x / y\n")
    service = fj.FeatureService("s", [amount, view(b=fj.column("amount"), a=fj.count(window="1h")), ratio])
    spec = compile_service(service, {"tx": SCHEMA})
    assert spec.outputs == (("v__b", "float64"), ("v__a", "int64"), ("amount", "float64"), ("ratio", "float64"))
    assert spec.entity_keys == (("card", "string"),)
    assert spec == compile_service(service, {"tx": dict(reversed(SCHEMA.items()))})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=type(spec)) == spec


def test_names_that_engines_would_mix_up_are_refused() -> None:
    with pytest.raises(DefinitionError, match="features 'spent' and 'Spent' differ in capital letters only"):
        compiled(spent=fj.sum("amount", window="1h"), Spent=fj.sum("points", window="1h"))
    twice = fj.FeatureView("v", CARD, TX, {"x": fj.last("AMOUNT")}, transform={"AMOUNT": "amount * 2"})
    with pytest.raises(DefinitionError, match="columns 'amount' and 'AMOUNT'"):
        compile_view(twice, SCHEMA)
    for name in ("_ts", "_SEQ", "_k0", "_question"):
        schema = SCHEMA | {name: "int64"}
        with pytest.raises(DefinitionError, match=f"uses the name '{name}', which engines keep"):
            compile_view(view(x=fj.last(name)), schema)
        with pytest.raises(DefinitionError, match=f"uses the name '{name}'"):
            compile_view(view(fj.Entity("e", key=name, dtype="int64"), x=fj.last("amount")), schema)
        with pytest.raises(DefinitionError, match=f"uses the name '{name}'"):
            compiled(**{name: fj.last("amount")})
    assert compile_view(view(x=fj.last("_id")), SCHEMA | {"_id": "string"}).columns == (("_id", "string"),)


_OF_TABLES = {"_event_ts", "_created", "_ingest_seq"}


@pytest.mark.parametrize("features", SETS.values(), ids=SETS)
def test_every_name_that_statements_use_is_kept_from_views(features: dict[str, Any]) -> None:
    spec = make_service("pair", **features).views[0]
    said = [*one_row_sql(spec, "e"), *last_n_sql(spec, "e"), windowed_sql(spec, "e", {"amount"}, {}) or ""]
    for dialect in (DIALECTS["duckdb"], DIALECTS["postgres"]):
        events = [events_sql(spec, "r", dialect, known_time=known) for known in (False, True)]
        said += [*events, features_sql(spec, "e", dialect, known_time=True)]
    names = set(re.findall(r"\b_[a-z][a-z0-9]*\b(?!_)", " ".join(said))) - _OF_TABLES
    assert names
    for name in sorted(names):
        with pytest.raises(DefinitionError, match="engines keep"):
            compiled(**{name: fj.last("amount")})
