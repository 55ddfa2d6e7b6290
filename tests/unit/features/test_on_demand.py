"""On-demand features: the same code offline and online, and faults that name the function."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import falaj as fj
from falaj.definitions.service_spec import OnDemandSpec, RequestSpec, ServiceSpec
from falaj.features.compile import compile_service
from falaj.features.offline import training_frame
from falaj.features.on_demand import OnDemand, request_value
from falaj.kernel.errors import DataError, DefinitionError, InputError
from support.feature_worlds import INSTANT, SCHEMA, make_service, row, table

FLOOR = 1.0


@fj.on_demand(inputs=["request:amount", "v:mean"])
def ratio(amount: Any, mean: Any) -> Any:
    return amount / np.maximum(mean, FLOOR)


@fj.on_demand(inputs=["v:country", "request:country"], dtype="bool")
def abroad(last: Any, now: Any) -> Any:
    return np.array([None if a is None else a != b for a, b in zip(last, now, strict=True)], object)


def spec() -> ServiceSpec:
    stored = {"mean": fj.mean("amount", window="10us"), "country": fj.last("country")}
    source = fj.Source("tx", stream=fj.Push(), id="event", timestamp="at", schema=SCHEMA, lateness="1h")
    view = fj.FeatureView("v", entity=fj.Entity("a", key="a"), source=source, features=stored)
    fields = [fj.request("amount"), fj.request("country", "string")]
    return compile_service(fj.FeatureService("s", [view, ratio, abroad, *fields]), {"tx": SCHEMA})


def test_offline_and_online_run_the_same_code() -> None:
    frame = pa.table(
        {
            "a": ["1", "1", "2"],
            "event_timestamp": pa.array([5, -5, 5], INSTANT),
            "amount": [6.0, 6.0, None],
            "country": ["AE", "OM", "OM"],
        }
    )
    rows = [row("x", amount=3.0, country="AE")]
    offline = training_frame(spec(), frame, {"tx": table(rows)})
    assert offline.column_names == [*frame.column_names, "v__mean", "v__country", "ratio", "abroad"]
    assert offline["abroad"].to_pylist() == [False, None, None]
    online: list[list[Any]] = [[3.0, "AE", None, None, None, None], [None, None, None, None, None, None]]
    OnDemand(spec()).fill(online, [{"amount": 6.0, "country": "AE"}, {"amount": 6, "country": "OM"}])
    assert online[0] == [3.0, "AE", 2.0, False, 6.0, "AE"]
    assert online[1][3:] == [None, 6.0, "OM"]
    assert math.isnan(online[1][2])
    assert offline["ratio"].to_pylist()[0] == online[0][2]
    assert math.isnan(offline["ratio"].to_pylist()[1])


def broken(code: str, dtype: str = "float64") -> OnDemand:
    view = OnDemandSpec("f", ("request:x",), code, dtype)
    outputs = (("f", dtype), ("x", "float64"))
    return OnDemand(ServiceSpec("s", "00", (), (view,), (RequestSpec("x", "float64"),), outputs))


@pytest.mark.parametrize(
    ("code", "dtype", "says"),
    [
        ("def f(x):\n    return x[:1]\n", "float64", r"'f' returned shape \(1,\) for 2 rows"),
        ("def f(x):\n    return 1.0\n", "float64", r"shape \(\) for 2 rows"),
        ("def f(x):\n    return x.nothing\n", "float64", "'f' failed: AttributeError"),
        ("def f(x):\n    raise KeyError('k')\n", "float64", "'f' failed: KeyError"),
        ("def f(x):\n    return ['a', 'b']\n", "float64", "not float64"),
        ("def f(x):\n    return x + 0.5\n", "int64", "not int64"),
    ],
)
def test_faults_name_the_function(code: str, dtype: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        broken(code, dtype).fill([[None, None], [None, None]], [{"x": 1.0}, {"x": 2.0}])


def test_no_rows_call_nothing() -> None:
    broken("def f(x):\n    raise KeyError('k')\n").fill([], [])


@pytest.mark.parametrize(
    ("dtype", "value", "kept"),
    [
        ("float64", 1, 1.0),
        ("int64", 7, 7),
        ("bool", False, False),
        ("string", "", ""),
        ("timestamp", "1970-01-01T00:00:01Z", 1_000_000),
        ("timestamp", -1, -1),
        ("string", None, None),
    ],
)
def test_request_values(dtype: str, value: Any, kept: Any) -> None:
    found = request_value(RequestSpec("x", dtype), {"x": value})
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("dtype", "request_"),
    [
        ("float64", {"x": "1"}),
        ("float64", {"x": True}),
        ("int64", {"x": 1.0}),
        ("int64", {"x": 1 << 63}),
        ("bool", {"x": 1}),
        ("string", {"x": 1}),
        ("timestamp", {"x": 1.5}),
        ("string", {}),
    ],
)
def test_request_values_of_another_type_are_refused(dtype: str, request_: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="request field 'x'"):
        request_value(RequestSpec("x", dtype), request_)


def test_request_fields_of_a_frame_are_cast_and_stay_in_place() -> None:
    service = make_service(n=fj.count(window="1s"))
    fields = (RequestSpec("x", "float64"),)
    service = ServiceSpec("s", "00", service.views, (), fields, (*service.outputs, ("x", "float64")))
    frame = pa.table({"x": [1, 2], "a": ["1", "2"], "event_timestamp": pa.array([1, 2], INSTANT)})
    result = training_frame(service, frame, {"tx": table([])})
    assert result.schema.field("x").type == pa.float64()
    assert result.column_names == ["x", "a", "event_timestamp", "v__n"]
    with pytest.raises(InputError, match=r"'x' .* is string"):
        training_frame(service, frame.set_column(0, "x", pa.array(["1", "2"])), {"tx": table([])})


@fj.on_demand(inputs=["label:label", "ratio:ratio"], dtype="int64")
def longest(words: Any, ratios: Any) -> Any:
    return np.array([None if w is None else len(w) + int(r) for w, r in zip(words, ratios, strict=True)], object)


@fj.on_demand(inputs=["abroad:abroad", "longest:longest"])
def last_of_all(flags: Any, lengths: Any) -> Any:
    return flags * 100 + lengths


@fj.on_demand(inputs=["request:country"], dtype="string")
def label(country: Any) -> Any:
    return np.array([None if c is None else f"<{c}>" for c in country], object)


def chain() -> ServiceSpec:
    first = spec()
    view = fj.FeatureView(
        "v",
        entity=fj.Entity("a", key="a"),
        source=fj.Source("tx", stream=fj.Push(), id="event", timestamp="at", schema=SCHEMA, lateness="1h"),
        features={"mean": fj.mean("amount", window="10us"), "country": fj.last("country")},
    )
    fields = [fj.request("amount"), fj.request("country", "string")]
    service = fj.FeatureService("s", [last_of_all, longest, view, ratio, abroad, label, *fields])
    found = compile_service(service, {"tx": SCHEMA})
    assert compile_service(fj.FeatureService("s", [view, ratio, abroad, *fields]), {"tx": SCHEMA}) == first
    return found


def test_views_that_read_each_other_are_computed_in_order_offline_and_online() -> None:
    service = chain()
    assert [view.name for view in service.on_demand] == ["abroad", "label", "ratio", "longest", "last_of_all"]
    assert [name for name, _ in service.outputs][2:4] == ["last_of_all", "longest"], "a model's columns stay in place"
    countries = ["AE", "OM", None]
    frame = pa.table(
        {
            "a": ["1", "1", "1"],
            "event_timestamp": pa.array([5, 5, 5], INSTANT),
            "amount": [6.0, 9.0, 6.0],
            "country": countries,
        }
    )
    offline = training_frame(service, frame, {"tx": table([row("x", amount=3.0, country="AE")])})
    assert offline["longest"].to_pylist() == [6, 7, None]
    assert offline["last_of_all"].to_pylist()[:2] == [6.0, 107.0]
    online: list[list[Any]] = [[3.0, "AE", *[None] * 7] for _ in countries]
    requests = [{"amount": a, "country": c} for a, c in zip([6.0, 9.0, 6.0], countries, strict=True)]
    OnDemand(service).fill(online, requests)
    for place, (name, _) in enumerate(service.outputs):
        expected = offline[name].to_pylist()
        assert [str(values[place]) for values in online] == [str(value) for value in expected], name


def test_a_row_is_recomputed_from_what_it_holds() -> None:
    service = chain()
    names = [name for name, _ in service.outputs]
    online: list[list[Any]] = [[3.0, "AE", *[None] * 7]]
    request = {"amount": 6.0, "country": "AE"}
    OnDemand(service).fill(online, [request])
    online[0][names.index("longest")] = 1_000
    found = OnDemand(service).recompute(online[0], request)
    assert (found["longest"], found["last_of_all"]) == (6, 1_000.0), "one fault, and what was computed from it is right"


def test_a_circle_is_named_with_its_path() -> None:
    views = [fj.OnDemandView(n, (f"{m}:{m}", "request:x"), "...") for n, m in ("ab", "bc", "cb")]
    with pytest.raises(DefinitionError, match=r"in a circle: b -> c -> b") as refused:
        fj.FeatureService("s", [*views, fj.request("x")])
    assert refused.value.hint
    with pytest.raises(DefinitionError, match=r"in a circle: a -> a"):
        fj.FeatureService("s", [fj.OnDemandView("a", ("a:a",), "...")])


def test_a_view_that_is_read_must_be_in_the_service() -> None:
    with pytest.raises(DefinitionError, match="'last_of_all' needs 'abroad:abroad', which is not in it"):
        fj.FeatureService("s", [last_of_all, fj.request("x")])
