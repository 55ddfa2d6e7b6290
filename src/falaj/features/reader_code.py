"""ReaderCode: the reading of one view as one Python function, written for that view.

Twelve features are computed in less time than it takes to look up, for each of them, which column, which span and which
function it has; so all of that is decided once, when the view is loaded, and what is left is written down as a function
of local variables. `layout` says where everything stands, `windows` holds what is called for a whole slice.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any, NamedTuple

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features import layout, windows
from falaj.features.sawtooth import SawtoothReader
from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, PRESENT

Read = Callable[[memoryview | bytes, int, list[Any], list[str]], int]
"""A function of (record, T in microseconds, list to append values to, list to append statuses to); returns the record's
applied `ingest_seq`."""

_WORDS = ("values", "counts", "sums", "low_sums", "flags", "scale", "low_scale", "size", "tails")
"""What the words of a column are called in the text, in the order of `layout`."""
_POINT = ("values", "counts", "scale", "low_scale")
_HEAD = "magic, checksums, events, applied_seq, floor_us, words, newest, complete, carried"
_HEAD_FORMAT = "<qqqqq8xq8xqqq16x"
_AMONG = ("column", "first", "last", "last_non_null", "last_n")
"""Functions that take values as they stand, and compute nothing of them."""
_SUMMED = ("sum", "mean")


class Span(NamedTuple):
    """Which events a feature looks at; features of equal spans share one search.

    Attributes:
        kind: `window`; `upto` for the latest event not after T, `before` for the latest before it, `first` for the
            earliest; `hop` for a window whose older part stands in tiles.
        age_us: How long before T they begin; None for any age.
        rows: Only events in which this column is not null.
    """

    kind: str
    age_us: int | None
    rows: str | None = None


def span_of(feature: FeatureSpec, view: ViewSpec) -> Span:
    """Return which events a feature looks at."""
    age_us = view.ttl_us if feature.window_us is None else feature.window_us
    if feature.hop_us is not None:
        return Span("hop", None)
    if feature.function == "column":
        return Span("upto", age_us)
    if feature.function == "last_non_null":
        return Span("before", age_us, feature.column)
    if feature.function in ("first", "last"):
        return Span("first" if feature.function == "first" else "before", age_us, feature.rows)
    return Span("window", feature.window_us)


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
        "sawtooth": SawtoothReader(view, damaged),
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
            if len(raw) < 104: raise damaged()
            magic, checksums, events, applied_seq, floor_us, words, newest, complete, carried = unpack(raw)
            if magic != MAGIC or words * 8 != len(raw): raise damaged()
            if checksums & 0xFFFFFFFF != crc32(raw[16:104]): raise damaged()
            words = raw.cast('q')
            end_at = 13 + events
            before_at = end_at if newest < at_us else bisect_left(words, at_us, 13, end_at)
            before = before_at - 13
            low = bisect_left(words, at_us - 60, 13, before_at)
            start0 = low - 13
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
        spans = dict.fromkeys(span_of(feature, view) for feature in view.features)
        # The longest window first: where it begins, the search for the next one begins.
        ranked = sorted(spans, key=lambda span: (span.kind != "window", -(span.age_us or 0)))
        self._spans = [span for span in ranked if span.kind != "hop"]

    def lines(self) -> Iterator[str]:
        """Give the lines."""
        yield from self._open()
        yield from self._bisect()
        for number, span in enumerate(self._spans):
            if span.kind == "window":
                yield from self._window(number, span.age_us or 0)
            else:
                yield from self._first(number, span) if span.kind == "first" else self._latest(number, span)
        yield from self._bounds()
        hopped = [n for n, feature in enumerate(self._view.features) if feature.hop_us is not None]
        if hopped:
            yield f"{', '.join(f'(v{n}, status{n})' for n in hopped)}, = sawtooth(raw, at_us, before)"
        for number, feature in enumerate(self._view.features):
            if feature.hop_us is None:
                yield f"v{number} = {self._value(feature)}"
        yield from self._answer()

    def _open(self) -> Iterator[str]:
        view, size = self._view, layout.WORD * self._ts_at
        names = [_HEAD, *(f"latest{number}" for number, _ in self._columns.values() if _is_plain(view))]
        yield "raw = memoryview(raw)"
        if view.delay_us:
            yield f"at_us -= {view.delay_us}"
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
        if any(self._column(f)[1] == "float64" or f.function in ("std", "var") for f in view.features if f.column):
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
        if any(span.kind == "upto" for span in self._spans):
            yield "upto_at = bisect_right(words, at_us, before_at, end_at)"

    def _window(self, number: int, age_us: int) -> Iterator[str]:
        """Find the events of a window; one that reaches below what is kept is taken for empty, and refused."""
        yield f"low = bisect_left(words, at_us - {age_us}, {'low' if number else self._ts_at}, before_at)"
        yield f"start{number} = low - {self._ts_at}"
        yield f"refused{number} = None"
        yield f"if at_us - {age_us} < floor_us: start{number}, refused{number} = before, OUTSIDE_RETENTION"

    def _latest(self, number: int, span: Span) -> Iterator[str]:
        """Find the latest event before T, or not after it; one that may not be taken is taken for none.

        Below the floor an event stands for those that were dropped, where it was kept for such a feature, and only
        where all of them are before T.
        """
        start, age_us = f"start{number}", span.age_us
        if span.rows is None:
            yield f"{start} = {span.kind}_at - {self._ts_at + 1}"
            unknown = f"{start} < carried"
        else:
            yield f"{start} = last_chosen(raw, {self._counts(span.rows)}, events, before)"
            unknown = f"{start} < carried"
            if self._is_carried(span.rows):
                unknown = f"{unknown} and at_us < floor_us"
        old = "" if age_us is None else f" or words[{self._ts_at} + {start}] < at_us - {age_us}"
        yield f"if {start} < 0 or {unknown}{old}:"
        kept = " and at_us >= floor_us" if span.rows is not None and age_us is None else ""
        yield f"    refused{number} = refusal(at_us, {age_us}, floor_us, found={start} >= carried{kept})"
        yield f"    {start} = end{number} = 0"
        yield "else:"
        yield f"    refused{number}, end{number} = None, {start} + 1"

    def _is_carried(self, rows: str) -> bool:
        """Return whether of all rows below the floor in which a column is not null, a record keeps the latest.

        A window alone has none kept: what it finds there was kept for another feature, and later ones were dropped.
        """
        unwindowed = (f for f in self._view.features if f.window_us is None)
        return any((span.kind, span.rows) == ("before", rows) for span in (span_of(f, self._view) for f in unwindowed))

    def _first(self, number: int, span: Span) -> Iterator[str]:
        """Find the earliest event of a window, or of all times, which is kept when others are dropped."""
        start, age_us = f"start{number}", span.age_us
        yield f"refused{number} = None"
        if age_us is None:
            yield f"{start} = 0"
        else:
            yield f"{start} = bisect_left(words, at_us - {age_us}, {self._ts_at}, before_at) - {self._ts_at}"
        if span.rows is not None:
            yield f"{start} = first_chosen(raw, {self._counts(span.rows)}, events, {start})"
        if age_us is not None:
            yield f"if at_us - {age_us} < floor_us: {start}, refused{number} = before, OUTSIDE_RETENTION"
        yield f"if {start} >= before: {start} = end{number} = 0"
        yield f"else: end{number} = {start} + 1"

    def _counts(self, column: str) -> str:
        return f"counts{self._columns[column][0]}"

    def _bounds(self) -> Iterator[str]:
        """Turn spans of events into spans of values, which differ where a column has nulls."""
        features = [f for f in self._view.features if f.column is not None and f.hop_us is None]
        pairs = {(self._column(f)[0], self._span(f)) for f in features if f.function != "last_n"}
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
        if feature.function in ("count", "count_distinct"):
            counted = f"{last} - {first}" if feature.function == "count" else _distinct(dtype, column, first, last)
            return f"None if refused{span} else {counted}"
        if feature.function == "last_n":
            return self._listed(feature, span)
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

    def _listed(self, feature: FeatureSpec, span: int) -> str:
        column, dtype = self._column(feature)
        places = f"chosen(raw, {self._counts(feature.rows)}" if feature.rows is not None else "chosen(raw, 0"
        places = f"{places}, events, (start{span}, before), {feature.n})"
        one = f"lambda place: {_one(dtype, column, 'place')}"
        return f"None if refused{span} else listed(raw, counts{column}, {places}, {one})"

    def _walked(self, feature: FeatureSpec, values: str) -> str:
        """Return the text of what takes a walk along the values, unless the record has it for the tail of them."""
        span, (column, dtype) = self._span(feature), self._column(feature)
        first, last = f"first{column}_{span}", f"last{column}_{span}"
        least = 1
        if feature.function in ("std", "var"):
            walk, least = f"{'spread' if feature.function == 'std' else 'variance'}({values})", 2
        elif feature.function == "quantile":
            walk = f"quantile({values}, {feature.q!r}, {f'flags{column}' if dtype == 'float64' else 0})"
        elif dtype == "float64":
            walk = f"{'lowest' if feature.function == 'min' else 'highest'}({values}, flags{column})"
        else:
            walk = f"{feature.function}({values})"
        tails = layout.tails_of(self._view, feature.column or "", dtype)
        tail = layout.TAIL_OF.get(feature.function)
        if tail is not None and tail in tails:
            words = "doubles" if dtype == "float64" or tail == "std" else "words"
            place = " + ".join([f"tails{column}", *[f"size{column}"] * tails.index(tail), first])
            kept = f"{words}[{place}]{' ** 2' if feature.function == 'var' else ''}"
            walk = f"({kept} if tails{column} and {last} == size{column} else {walk})"
        return f"{walk} if {last} - {first} >= {least} else None"

    def _answer(self) -> Iterator[str]:
        names = [f"v{number}" for number in range(len(self._view.features))]
        statuses = [self._status(number, feature) for number, feature in enumerate(self._view.features)]
        yield f"values += ({', '.join(names)},)"
        yield f"if {' or '.join(f'{name} is None' for name in names)}:"
        yield f"    statuses += ({', '.join(statuses)},)"
        yield "else:"
        yield "    statuses += ALL_PRESENT"
        yield "return applied_seq"

    def _status(self, number: int, feature: FeatureSpec) -> str:
        if feature.hop_us is not None:
            return f"status{number}"
        span = self._span(feature)
        nothing = f"(NULL_VALUE if {self._end(span)} > start{span} else NOT_FOUND)"
        return f"PRESENT if v{number} is not None else refused{span} or {nothing}"

    def _span(self, feature: FeatureSpec) -> int:
        return self._spans.index(span_of(feature, self._view))

    def _end(self, span: int) -> str:
        return "before" if self._spans[span].kind == "window" else f"end{span}"

    def _column(self, feature: FeatureSpec) -> tuple[int, str]:
        return self._columns[feature.column or ""]


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


def _distinct(dtype: str, column: int, first: str, last: str) -> str:
    """Return the text of a number of distinct values."""
    if dtype == "string":
        return f"distinct_texts(raw, values{column}, {first}, {last})"
    return f"distinct({_slice(dtype, column, first, last)})"
