"""One pushed event's fields, read as the types of its source."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from falaj.definitions.source import Source
from falaj.kernel.clock import from_us, parse_instant, rfc3339, to_us
from falaj.kernel.codec import canonical_json, from_json
from falaj.kernel.errors import InputError
from falaj.kernel.names import did_you_mean
from falaj.kernel.sentence import one_sentence

LONGEST_CHARACTERS = 1 << 20
"""An event that comes as text may be so long; what is longer is quarantined, cut off there."""

_NAMED = 10
"""So many unknown fields are named: to look for a near miss of each takes time, and an event may have thousands."""

_INT64 = range(-(2**63), 2**63)


def read_event(source: Source, schema: Mapping[str, str], event: object) -> tuple[dict[str, Any], list[str]]:
    """Return the event's fields with instants in microseconds, without those that are null, and what is wrong with it.

    Args:
        source: The definition.
        schema: Column to dtype.
        event: The event: an object of fields, or the text of one as JSON.

    Returns:
        The fields that could be read; and a reason for each field that is unknown or of another type, for a missing
        timestamp, or for what is no object at all. None for an event that is well formed.

    Example:
        >>> from falaj.definitions.source import Push
        >>> tx = Source("tx", stream=Push(), schema={"at": "timestamp", "amount": "float64"}, timestamp="at")
        >>> read_event(tx, tx.schema, {"at": "2018-04-01T00:00:31Z", "amount": 5})
        ({'at': 1522540831000000, 'amount': 5.0}, [])
        >>> read_event(tx, tx.schema, '{"amout": 5}')[1]
        ["field 'amout' is unknown: did you mean 'amount'?", "the timestamp 'at' is missing"]
    """
    if isinstance(event, str):
        if len(event) > LONGEST_CHARACTERS:
            return {}, [f"the event has {len(event):,} characters, and {LONGEST_CHARACTERS:,} are allowed"]
        try:
            event = from_json(event, Any, what="the event")
        except InputError as error:
            return {}, [error.message]
    if not isinstance(event, Mapping):
        return {}, ["the event is not an object of fields"]
    unknown = [name for name in event if name not in schema]
    reasons = [f"field {name!r} is unknown: {did_you_mean(str(name), schema)}" for name in unknown[:_NAMED]]
    if len(unknown) > _NAMED:
        reasons.append(f"{len(unknown) - _NAMED:,} more fields are unknown")
    row = {}
    for name, dtype in schema.items():
        value = event.get(name)
        if value is not None:
            try:
                row[name] = _READ[dtype](value)
            except InputError as error:
                reasons.append(f"field {name!r}: {error.message}")
    if source.timestamp is not None and event.get(source.timestamp) is None:
        reasons.append(f"the timestamp {source.timestamp!r} is missing")
    return row, [one_sentence(reason) for reason in reasons]


def row_text(schema: Mapping[str, str], row: Mapping[str, Any]) -> str:
    """Return fields that were read as the text of an event that is read as them again.

    Args:
        schema: Column to dtype.
        row: Column to value, instants in microseconds.

    Example:
        >>> row_text({"at": "timestamp", "n": "int64"}, {"at": 1522540831000000, "n": 5})
        '{"at":"2018-04-01T00:00:31Z","n":5}'
    """
    shown = dict(row)
    for name in [name for name, dtype in schema.items() if dtype == "timestamp" and row.get(name) is not None]:
        with suppress(OverflowError):  # beyond the year 9999: no text says it, and it is refused again
            shown[name] = rfc3339(from_us(row[name]))
    return canonical_json(shown).decode()


def raw_event(event: object) -> str:
    """Return an event as the text that it came as, or would have come as, so that it can be replayed."""
    if isinstance(event, str):
        return event[:LONGEST_CHARACTERS].encode(errors="backslashreplace").decode()
    try:
        return canonical_json(event).decode()
    except (TypeError, ValueError):  # what JSON cannot hold is not replayed either, and yet it should be seen
        return ascii(event)


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
    # A number would be read by guessing its unit, and the same number in a file perhaps by another guess.
    raise _wrong(value, "a timestamp: RFC 3339 text such as 2026-01-31T09:30:00Z")


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
