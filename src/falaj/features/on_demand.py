"""OnDemand: features computed from the request and other features, by the same code offline and online."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.captured import load_captured
from falaj.definitions.service_spec import OnDemandSpec, RequestSpec, ServiceSpec
from falaj.features.layout import INT64_MAX, INT64_MIN
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import DataError, InputError

_KINDS = {"float64": "a number", "int64": "a whole number", "bool": "true or false", "string": "text"}
# Not `Exception`: what is left out (memory, recursion, an interrupt) is the process's trouble and not the function's.
_FAULTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError, NotImplementedError,
)  # fmt: skip


class OnDemand:
    """The on-demand views and request fields of a service.

    Args:
        spec: The service; its pinned code is loaded here.

    Raises:
        DefinitionError: The code does not run here, for example because a module it imports is absent.

    Example:
        >>> double = OnDemandSpec("double", ("request:x",), "def double(x):\\n    return 2 * x\\n", "float64")
        >>> outputs = (("double", "float64"), ("x", "float64"))
        >>> spec = ServiceSpec("s", "00" * 32, (), (double,), (RequestSpec("x", "float64"),), outputs)
        >>> rows = [[None, None]]
        >>> OnDemand(spec).fill(rows, [{"x": 21}])
        >>> rows
        [[42.0, 21.0]]
    """

    def __init__(self, spec: ServiceSpec) -> None:
        position = {name: i for i, (name, _) in enumerate(spec.outputs)}
        dtypes = dict(spec.outputs)
        self._request = [(position[field.name], field) for field in spec.request]
        self._views = []
        for view in spec.on_demand:
            columns = [spec.column_of(reference) for reference in view.inputs]
            inputs = [(position[column], dtypes[column]) for column in columns]
            self._views.append((position[view.name], view, inputs, load_captured(view.code, view.name)))
        self._columns = {view.name: [spec.column_of(reference) for reference in view.inputs] for view in spec.on_demand}
        self._read = {column for columns in self._columns.values() for column in columns}

    def fill(self, rows: Sequence[list[Any]], requests: Sequence[Mapping[str, Any]]) -> None:
        """Put request fields and on-demand features into rows that hold the stored features, in place.

        Args:
            rows: Per row one value per output of the service.
            requests: Per row the request's fields.

        Raises:
            InputError: A field is missing or of another type.
            DataError: An on-demand function failed or returned the wrong number of values.
        """
        for at, field in self._request:
            for row, request in zip(rows, requests, strict=True):
                row[at] = request_value(field, request)
        if not rows:
            return
        for at, view, inputs, function in self._views:
            arrays = [_array([row[i] for row in rows], dtype) for i, dtype in inputs]
            result = _call(view, function, arrays, len(rows))
            for row, value in zip(rows, plain_values(view, result), strict=True):
                row[at] = value

    def recompute(self, row: Sequence[Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the on-demand features of one row, each from its inputs as they stand in the row.

        Where one reads another, it is computed from what the row has of that, so that a fault shows once.

        Args:
            row: One value per output of the service.
            request: The request's fields.

        Raises:
            InputError: A field is missing or of another type.
            DataError: An on-demand function failed or returned the wrong number of values.
        """
        given = list(row)
        for at, field in self._request:
            given[at] = request_value(field, request)
        values = {}
        for _, view, inputs, function in self._views:
            arrays = [_array([given[i]], dtype) for i, dtype in inputs]
            (values[view.name],) = plain_values(view, _call(view, function, arrays, 1))
        return values

    def compute(self, columns: Mapping[str, NDArray[Any]], length: int) -> dict[str, NDArray[Any]]:
        """Return the on-demand features of whole columns.

        Args:
            columns: Stored features and request fields by output name: float64 with NaN for null, object for strings.
            length: Rows.

        Returns:
            Per on-demand view an array as the function returned it.

        Raises:
            DataError: A function failed or returned the wrong number of values.
        """
        results: dict[str, NDArray[Any]] = {}
        known = dict(columns)
        for _, view, _, function in self._views:
            arrays = [known[column] for column in self._columns[view.name]]
            result = results[view.name] = _call(view, function, arrays, length)
            if view.name in self._read:  # given on as it is online
                known[view.name] = _array(plain_values(view, result), view.dtype)
        return results


def request_value(field: RequestSpec, request: Mapping[str, Any]) -> Any:
    """Return a request field's value; None for null.

    Raises:
        InputError: It is missing or of another type; the message names it.

    Example:
        >>> request_value(RequestSpec("amount", "float64"), {"amount": 12})
        12.0
    """
    if field.name not in request:
        raise InputError(f"request field {field.name!r} is missing", hint=f"send it as {field.dtype}, or as null")
    value = request[field.name]
    if value is None:
        return None
    kind = type(value)
    if field.dtype == "float64" and kind in (int, float):
        return float(value)
    if field.dtype == "int64" and kind is int and INT64_MIN <= value <= INT64_MAX:
        return value
    if (field.dtype == "bool" and kind is bool) or (field.dtype == "string" and kind is str):
        return value
    if field.dtype == "timestamp" and kind is str:
        return to_us(parse_instant(value))
    if field.dtype == "timestamp" and kind is int:
        return value
    raise InputError(
        f"request field {field.name!r} is {value!r}, and its type is {field.dtype}",
        hint=f"send {_KINDS.get(field.dtype, 'an RFC 3339 timestamp')}",
    )


def plain_values(view: OnDemandSpec, result: NDArray[Any]) -> list[Any]:
    """Return an on-demand array as plain values of the view's type; NaN is null except in a float column.

    Raises:
        DataError: A value is not of the view's type.
    """
    values: list[Any] = result.tolist()
    if view.dtype == "float64":
        return values
    nulls_out = [None if value is None or value != value else value for value in values]
    wanted: Any = {"int64": int, "timestamp": int, "bool": bool, "string": str}[view.dtype]
    try:
        return [None if value is None else _exactly(wanted, value) for value in nulls_out]
    except (TypeError, ValueError):
        raise _wrong_type(view) from None


def _exactly(wanted: Any, value: Any) -> Any:
    converted = wanted(value)
    if converted != value:
        raise ValueError(value)
    return converted


def _array(values: list[Any], dtype: str) -> NDArray[Any]:
    if dtype == "string" or dtype.startswith("list"):
        array = np.empty(len(values), object)
        for place, value in enumerate(values):  # one by one: lists of one length would become a matrix
            array[place] = value
        return array
    return np.array(values, np.float64)  # None becomes NaN


def _call(view: OnDemandSpec, function: Any, arrays: list[NDArray[Any]], length: int) -> NDArray[Any]:
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(function(*arrays))
    except _FAULTS as error:
        raise DataError(
            f"on-demand {view.name!r} failed: {type(error).__name__}: {error}",
            hint="it gets float64 arrays with NaN for null, and object arrays for strings",
        ) from error
    if result.shape != (length,):
        raise DataError(
            f"on-demand {view.name!r} returned shape {result.shape} for {length} rows", hint="return one value per row"
        )
    if view.dtype != "float64":
        return result
    try:
        return result.astype(np.float64)
    except (TypeError, ValueError):
        raise _wrong_type(view) from None


def _wrong_type(view: OnDemandSpec) -> DataError:
    return DataError(
        f"on-demand {view.name!r} returned values that are not {view.dtype}",
        hint="declare @fj.on_demand(..., dtype=...) as what it returns",
    )
