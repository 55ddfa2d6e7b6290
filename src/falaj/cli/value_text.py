"""A nested value for the terminal: indented, and a list of records as a table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from falaj.cli.command import plain

_ONE_LINE = 100
_MOST_ROWS = 50
_MOST_WIDTH = 40


def value_lines(name: str, value: Any, indent: str = "") -> Iterator[str]:
    """Give the lines that show a value: one where it is short.

    Args:
        name: What it is called.
        value: What JSON can hold.
        indent: What each line begins with.

    Example:
        >>> found = [{"number": 0, "params": {"leaves": 7}}, {"number": 1, "params": {"leaves": 31}, "note": "a" * 99}]
        >>> [line[:32] for line in value_lines("trials", found)]
        ['trials', '  number  params.leaves  note', '  0       7', '  1       31             aaaaaaa']
    """
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(text) <= _ONE_LINE:
        yield f"{indent}{plain(name)}  {plain(text)}"
        return
    yield f"{indent}{plain(name)}"
    inner = f"{indent}  "
    if isinstance(value, dict):
        for key, one in value.items():
            yield from value_lines(str(key), one, inner)
    elif all(isinstance(one, dict) for one in value):
        yield from (f"{inner}{line}" for line in _table(value))
    else:
        for number, one in enumerate(value[:_MOST_ROWS]):
            yield from value_lines(str(number), one, inner)
        yield from _more(value, inner)


def _table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [_flat(record) for record in records[:_MOST_ROWS]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
    yield from _more(records, "")


def _more(values: Sequence[Any], indent: str) -> Iterator[str]:
    if len(values) > _MOST_ROWS:
        yield f"{indent}and {len(values) - _MOST_ROWS:,} more: --json has all"


def _flat(record: Mapping[str, Any], path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{path}{name}.")
        else:
            found[plain(f"{path}{name}")] = _cell(value)
    return found


def _cell(value: Any) -> str:
    if isinstance(value, list):
        text = json.dumps(value, ensure_ascii=False) if value else ""
    else:
        text = f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
    text = plain(text)
    return text if len(text) <= _MOST_WIDTH else f"{text[: _MOST_WIDTH - 1]}…"
