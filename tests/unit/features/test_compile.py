"""Definitions to specs: types, order, digests and errors that name what is wrong."""

from typing import Any

import msgspec
import pytest

import falaj as fj
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import ViewSpec
from falaj.features.compile import compile_service, compile_view
from falaj.kernel.errors import DefinitionError

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
