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
from falaj.kernel.errors import DataError, InputError
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
