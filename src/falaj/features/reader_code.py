"""ReaderCode: the reading of one view as one Python function, written for that view.

Twelve features are computed in less time than it takes to look up, for each of them, which column, which span and which
function it has; so all of that is decided once, when the view is loaded, and what is left is written down as a function
of local variables. `layout` says where everything stands, `windows` holds what is called for a whole slice.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features import layout, windows
from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, PRESENT

Read = Callable[[memoryview | bytes, int, list[Any], list[str]], int]
"""A function of (record, T in microseconds, list to append values to, list to append statuses to); returns the record's
applied `ingest_seq`."""

_WORDS = ("values", "counts", "sums", "low_sums", "flags", "scale", "low_scale", "size", "tails")
"""What the words of a column are called in the text, in the order of `layout`."""
_POINT = ("values", "counts", "scale", "low_scale")
_HEAD = "magic, checksums, events, applied_seq, floor_us, words, newest, complete"
_HEAD_FORMAT = "<qqqqq8xq8xqq"
_AMONG = ("column", "last")
_SUMMED = ("sum", "mean")


def reader_of(view: ViewSpec, damaged: Callable[[], Exception]) -> Read:
    """Return the function that reads a view's features from a record.

    Args:
        view: The view.
        damaged: Makes what is raised when a record fails its checks.
    """
    names: dict[str, Any] = {
        "bisect_left": bisect_left,
        "bisect_right": bisect_right,
        "crc32": zlib.crc32,
        "damaged": damaged,
        "refusal": refusal,
        "unpack": _head_of(view).unpack_from,
        "unpack_columns": _columns_of(view).unpack_from,
        "MAGIC": layout.MAGIC,
        "ALL_PRESENT": (PRESENT,) * len(view.features),
        "NOT_FOUND": NOT_FOUND,
        "NULL_VALUE": NULL_VALUE,
        "OUTSIDE_RETENTION": OUTSIDE_RETENTION,
        "PRESENT": PRESENT,
    }
    names |= {name: value for name, value in vars(windows).items() if not name.startswith("_")}
    exec(compile(source_of(view), f"<reader of {view.name}>", "exec"), names)  # noqa: S102 - text of our own
    read: Read = names["read"]
    return read


def refusal(at_us: int, age_us: int | None, floor_us: int, *, found: bool) -> str:
    """Return why the latest event cannot be taken.

    Args:
        at_us: T.
        age_us: How old the event may be; None for any age.
        floor_us: From when on the record is complete.
        found: Whether there is an event at all.
    """
    if found:
        return OUTSIDE_MAX_AGE
    if floor_us != layout.NOTHING_DROPPED and (age_us is None or at_us - age_us < floor_us):
        return OUTSIDE_RETENTION
    return NOT_FOUND


def source_of(view: ViewSpec) -> str:
    """Return the function's text.

    Example:
        >>> n = FeatureSpec("n", "count", None, 60, "int64")
        >>> view = ViewSpec("v", "00" * 32, "tx", (("card", "string"),), (), (n,), None, False, 60, False)
        >>> print(source_of(view))
        def read(raw, at_us, values, statuses):
            raw = memoryview(raw)
            if len(raw) < 80: raise damaged()
            magic, checksums, events, applied_seq, floor_us, words, newest, complete = unpack(raw)
            if magic != MAGIC or words * 8 != len(raw): raise damaged()
            if checksums & 0xFFFFFFFF != crc32(raw[16:80]): raise damaged()
            words = raw.cast('q')
            end_at = 10 + events
            before_at = end_at if newest < at_us else bisect_left(words, at_us, 10, end_at)
            before = before_at - 10
            low = bisect_left(words, at_us - 60, 10, before_at)
            start0 = low - 10
            refused0 = None
            if at_us - 60 < floor_us: start0, refused0 = before, OUTSIDE_RETENTION
            v0 = None if refused0 else before - start0
            values += (v0,)
            if v0 is None:
                statuses += (PRESENT if v0 is not None else refused0 or (NULL_VALUE if before > start0 else NOT_FOUND),)
            else:
                statuses += ALL_PRESENT
            return applied_seq
    """
    return "\n    ".join(["def read(raw, at_us, values, statuses):", *_Text(view).lines()])


class _Text:
    """The lines of one view's function.

    Its local variables: `start0`, `end0`, `refused0` of each distinct span of events; `first0_1`, `last0_1`, which
    values of column 0 that are not null stand in span 1; `values0`, `sums0`, ..., the words of column 0; `v0`, ..., the
    features.
    """

    def __init__(self, view: ViewSpec) -> None:
        self._view = view
        self._ts_at = layout.timestamps_at(len(view.columns))
        self._columns = {name: (number, dtype) for number, (name, dtype) in enumerate(view.columns)}
        spans = dict.fromkeys(_span_of(feature, view) for feature in view.features)
        # The longest window first: where it begins, the search for the next one begins.
        self._spans = sorted(spans, key=lambda span: (span[0] != "window", -(span[1] or 0)))

    def lines(self) -> Iterator[str]:
        """Give the lines."""
        yield from self._open()
        yield from self._bisect()
        for number, (kind, age_us) in enumerate(self._spans):
            yield from self._window(number, age_us or 0) if kind == "window" else self._latest(number, kind, age_us)
        yield from self._bounds()
        for number, feature in enumerate(self._view.features):
            yield f"v{number} = {self._value(feature)}"
        yield from self._answer()

    def _open(self) -> Iterator[str]:
        view, size = self._view, layout.WORD * self._ts_at
        names = [_HEAD, *(f"latest{number}" for number, _ in self._columns.values() if _is_plain(view))]
        yield "raw = memoryview(raw)"
        yield f"if len(raw) < {size}: raise damaged()"
        yield f"{', '.join(names)} = unpack(raw)"
        yield f"if magic != MAGIC or words * {layout.WORD} != len(raw): raise damaged()"
        yield f"if checksums & 0xFFFFFFFF != crc32(raw[16:{size}]): raise damaged()"
        if _is_plain(view):
            yield from self._newest()
        names = [f"{word}{number}" for name, (number, _) in self._columns.items() for word in _needed(view, name)]
        if names:
            yield f"{', '.join(names)}, = unpack_columns(raw)"
        yield "words = raw.cast('q')"
        if any(self._column(f)[1] == "float64" or f.function == "std" for f in view.features if f.column is not None):
            yield "doubles = raw.cast('d')"

    def _newest(self) -> Iterator[str]:
        """Take the newest row as it stands, if it is the one that is asked for and has no nulls."""
        view = self._view
        young = "" if view.timeless else " and newest <= at_us"
        if view.ttl_us is not None and not view.timeless:
            young += f" and newest >= at_us - {view.ttl_us}"
        yield f"if complete{young}:"
        shown = [_latest(dtype, number) for number, dtype in (self._column(f) for f in view.features)]
        yield f"    values += ({', '.join(shown)},)"
        yield "    statuses += ALL_PRESENT"
        yield "    return applied_seq"

    def _bisect(self) -> Iterator[str]:
        if self._view.timeless:
            yield f"at_us = {layout.INT64_MAX}"
        yield f"end_at = {self._ts_at} + events"
        yield f"before_at = end_at if newest < at_us else bisect_left(words, at_us, {self._ts_at}, end_at)"
        yield f"before = before_at - {self._ts_at}"
        if any(kind == "upto" for kind, _ in self._spans):
            yield "upto_at = bisect_right(words, at_us, before_at, end_at)"

    def _window(self, number: int, age_us: int) -> Iterator[str]:
        """Find the events of a window; one that reaches below what is kept is taken for empty, and refused."""
        yield f"low = bisect_left(words, at_us - {age_us}, {'low' if number else self._ts_at}, before_at)"
        yield f"start{number} = low - {self._ts_at}"
        yield f"refused{number} = None"
        yield f"if at_us - {age_us} < floor_us: start{number}, refused{number} = before, OUTSIDE_RETENTION"

    def _latest(self, number: int, kind: str, age_us: int | None) -> Iterator[str]:
        """Find the latest event before T, or not after it; one that may not be taken is taken for none."""
        old = "" if age_us is None else f" or words[{kind}_at - 1] < at_us - {age_us}"
        yield f"start{number} = {kind}_at - {self._ts_at + 1}"
        yield f"if start{number} < 0{old}:"
        yield f"    refused{number} = refusal(at_us, {age_us}, floor_us, found=start{number} >= 0)"
        yield f"    start{number} = end{number} = 0"
        yield "else:"
        yield f"    refused{number}, end{number} = None, start{number} + 1"

    def _bounds(self) -> Iterator[str]:
        """Turn spans of events into spans of values, which differ where a column has nulls."""
        pairs = {(self._column(f)[0], self._span(f)) for f in self._view.features if f.column is not None}
        for column, span in sorted(pairs):
            first, last, start, end = f"first{column}_{span}", f"last{column}_{span}", f"start{span}", self._end(span)
            yield f"{first} = {start}; {last} = {end}"
            yield f"if counts{column}: {first}, {last} = bounds(raw, counts{column}, {start}, {end})"

    def _value(self, feature: FeatureSpec) -> str:
        span = self._span(feature)
        if feature.column is None:
            return f"None if refused{span} else {self._end(span)} - start{span}"
        column, dtype = self._column(feature)
        first, last = f"first{column}_{span}", f"last{column}_{span}"
        if feature.function == "count":
            return f"None if refused{span} else {last} - {first}"
        if feature.function in _AMONG:
            value = _one(dtype, column, f"{last} - 1")
        elif feature.function in _SUMMED:
            value = _total(dtype, column, first, last)
            if feature.function == "mean":
                value = f"{value} / ({last} - {first})"
            elif dtype != "float64":
                value = f"whole({value})"
        else:
            return self._walked(feature, f"{_slice(dtype, column, first, last)}")
        return f"{value} if {last} > {first} else None"

    def _walked(self, feature: FeatureSpec, values: str) -> str:
        """Return the text of what takes a walk along the values, unless the record has it for the tail of them."""
        span, (column, dtype) = self._span(feature), self._column(feature)
        first, last = f"first{column}_{span}", f"last{column}_{span}"
        least = 1
        if feature.function == "std":
            walk, least = f"spread({values})", 2
        elif dtype == "float64":
            walk = f"{'lowest' if feature.function == 'min' else 'highest'}({values}, flags{column})"
        else:
            walk = f"{feature.function}({values})"
        tails = layout.tails_of(self._view, feature.column or "", dtype)
        if tails:
            words = "doubles" if dtype == "float64" or feature.function == "std" else "words"
            place = " + ".join([f"tails{column}", *[f"size{column}"] * tails.index(feature.function), first])
            walk = f"({words}[{place}] if tails{column} and {last} == size{column} else {walk})"
        return f"{walk} if {last} - {first} >= {least} else None"

    def _answer(self) -> Iterator[str]:
        names = [f"v{number}" for number in range(len(self._view.features))]
        spans = [self._span(feature) for feature in self._view.features]
        statuses = [
            f"PRESENT if {name} is not None else refused{span} or "
            f"(NULL_VALUE if {self._end(span)} > start{span} else NOT_FOUND)"
            for name, span in zip(names, spans, strict=True)
        ]
        yield f"values += ({', '.join(names)},)"
        yield f"if {' or '.join(f'{name} is None' for name in names)}:"
        yield f"    statuses += ({', '.join(statuses)},)"
        yield "else:"
        yield "    statuses += ALL_PRESENT"
        yield "return applied_seq"

    def _span(self, feature: FeatureSpec) -> int:
        return self._spans.index(_span_of(feature, self._view))

    def _end(self, span: int) -> str:
        return "before" if self._spans[span][0] == "window" else f"end{span}"

    def _column(self, feature: FeatureSpec) -> tuple[int, str]:
        return self._columns[feature.column or ""]


def _span_of(feature: FeatureSpec, view: ViewSpec) -> tuple[str, int | None]:
    """Return the kind and the age of a feature's span; features of equal spans share one search.

    The kinds are `window`, `before` for the latest event strictly before T, and `upto` for the latest not after it.
    """
    if feature.function == "column":
        return "upto", view.ttl_us
    if feature.function == "last":
        return "before", view.ttl_us if feature.window_us is None else feature.window_us
    return "window", feature.window_us


def _needed(view: ViewSpec, column: str) -> tuple[str, ...]:
    """Return which of a column's words are read: for a plain column, unpacking all would take most of its time."""
    functions = {feature.function for feature in view.features if feature.column == column}
    return _WORDS if functions - {*_AMONG, "count"} else _POINT


def _is_plain(view: ViewSpec) -> bool:
    """Return whether a view has plain columns only: then the newest row is nearly always all that is wanted."""
    return all(feature.function == "column" for feature in view.features)


def _head_of(view: ViewSpec) -> Struct:
    kinds = ["d" if dtype == "float64" else "q" for _, dtype in view.columns] if _is_plain(view) else []
    return Struct("".join([_HEAD_FORMAT, *kinds]))


def _columns_of(view: ViewSpec) -> Struct:
    parts = [f"<{layout.WORD * (layout.HEADER_WORDS + len(view.columns))}x"]
    for name, dtype in view.columns:
        needed = _needed(view, name)
        for word in _WORDS:
            is_scale = dtype == "float64" and word in ("scale", "low_scale")
            parts.append("8x" if word not in needed else "d" if is_scale else "q")
    return Struct("".join(parts))


def _latest(dtype: str, column: int) -> str:
    """Return the text of a column's value in the newest row."""
    if dtype == "string":
        return f"str(raw[latest{column} >> 32 : (latest{column} >> 32) + (latest{column} & 0xFFFFFFFF)], 'utf-8')"
    return f"latest{column} != 0" if dtype == "bool" else f"latest{column}"


def _one(dtype: str, column: int, place: str) -> str:
    """Return the text of one value."""
    if dtype == "string":
        return f"text(raw, values{column}, scale{column}, low_scale{column}, {place})"
    if dtype == "bool":
        return f"raw[8 * values{column} + {place}] != 0"
    return f"{'doubles' if dtype == 'float64' else 'words'}[values{column} + {place}]"


def _slice(dtype: str, column: int, first: str, last: str) -> str:
    """Return the text of several values, as a tuple."""
    if dtype == "string":
        return f"texts(raw, values{column}, scale{column}, low_scale{column}, {first}, {last})"
    take = {"float64": "floats", "bool": "bools"}.get(dtype, "ints")
    return f"{take}(raw, values{column}, {first}, {last})"


def _total(dtype: str, column: int, first: str, last: str) -> str:
    """Return the text of a sum: a difference of running sums, or an addition where those would not be exact."""
    add = f"{'add_up' if dtype == 'float64' else 'sum'}({_slice(dtype, column, first, last)})"
    total = f"words[sums{column} + {last}] - words[sums{column} + {first}]"
    if dtype == "float64":
        low = f"words[low_sums{column} + {last}] - words[low_sums{column} + {first}]"
        total = f"({total}) * scale{column} + ({low}) * low_scale{column}"
    return f"({add} if flags{column} else {total})"
