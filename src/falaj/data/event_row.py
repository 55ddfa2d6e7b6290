"""One pushed event's fields, held against the types of its source."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from falaj.definitions.source import Source
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean

_INT64 = range(-(2**63), 2**63)


def checked_row(source: Source, schema: Mapping[str, str], index: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event's fields with instants in microseconds, without those that are null.

    Args:
        source: The definition.
        schema: Column to dtype.
        index: The event's place in its push, for the error.
        row: The event.

    Raises:
        InputError: A field is unknown or of another type, or the timestamp is missing.

    Example:
        >>> from falaj.definitions.source import Push
        >>> tx = Source("tx", stream=Push(), schema={"at": "timestamp", "amount": "float64"}, timestamp="at")
        >>> checked_row(tx, tx.schema, 0, {"at": "2018-04-01T00:00:31Z", "amount": 5})
        {'at': 1522540831000000, 'amount': 5.0}
    """
    where = f"event {index} of source {source.name!r}"
    if not isinstance(row, Mapping):
        raise InputError(f"{where} is not an object of fields", hint=f"give {', '.join(schema)}")
    for name in row:
        if name not in schema:
            raise InputError(f"{where}: field {name!r} is unknown", hint=did_you_mean(str(name), schema))
    checked = {}
    for name, dtype in schema.items():
        value = row.get(name)
        if value is not None:
            try:
                checked[name] = _READ[dtype](value)
            except InputError as error:
                raise InputError(f"{where}: field {name!r}: {error.message}", hint=error.hint) from None
    if source.timestamp is not None and source.timestamp not in checked:
        raise InputError(
            f"{where}: the timestamp {source.timestamp!r} is missing", hint="write it like 2026-01-31T09:30:00Z"
        )
    return checked


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{value!r} is not valid Unicode", hint="send UTF-8") from None
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "a whole number")
    if value not in _INT64:
        raise InputError(f"{value} does not fit in 64 bits", hint="send it as text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(value, "a number")
    try:
        return float(value)
    except OverflowError:
        raise _wrong(value, "a number of 64 bits") from None


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, "true or false")
    return value


def _instant(value: Any) -> int:
    if isinstance(value, str):
        return to_us(parse_instant(value))
    if isinstance(value, datetime):
        return to_us(value)
    try:
        return _whole(value)
    except InputError:
        raise _wrong(value, "a timestamp: RFC 3339 text, or whole microseconds since 1970") from None


def _wrong(value: Any, expected: str) -> InputError:
    shown = repr(value)
    return InputError(
        f"{shown if len(shown) <= 60 else shown[:57] + '...'} is not {expected}", hint="send the declared type"
    )


_READ: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "int64": _whole,
    "float64": _number,
    "bool": _truth,
    "timestamp": _instant,
}
