"""Point in time: a view's features at many instants, as DuckDB SQL over integer microseconds.

The relations that the statements read: `asked` (`_question`, `_t`, `_k0`, `_k1`, ...), one row per row of
the training frame; and one relation of events per view (`_ts`, `_known`, `_seq`, the keys and columns), one row per
event. No column of a source begins with an underscore.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.dialect import DIALECTS
from falaj.features.expression_sql import expression_sql

_DUCKDB = DIALECTS["duckdb"]
quoted = _DUCKDB.quoted

ONE_ROW = ("column", "first", "last", "last_non_null")
"""What takes the value of one row, found by a join on time and not by a window."""
_ORDER = "_known DESC NULLS LAST, _seq DESC"
_REVERSE = "_known NULLS FIRST, _seq"


def derived_sql(view: ViewSpec, events: str) -> str:
    """Return a view's events with the columns that are computed of each row.

    Args:
        view: The view.
        events: The relation of its source's events.
    """
    if not view.derived:
        return events
    computed = ", ".join(f"{expression_sql(d.expression, _DUCKDB)} AS {quoted(d.name)}" for d in view.derived)
    return f"(SELECT *, {computed} FROM {events})"  # noqa: S608 - names are quoted


def windowed_sql(view: ViewSpec, events: str, nonfinite: Collection[str], huge: Mapping[str, float]) -> str | None:
    """Return `_question` and every aggregate over a window that is not one row's value; None when the view has none.

    Questions and events are laid into one sequence, so that each frame `[t - window, t - 1us]` is a range of it.

    Args:
        view: The view.
        events: The relation of its events.
        nonfinite: Float columns that hold NaN or an infinity.
        huge: Float columns whose squares would overflow, and a power of two to divide them by.
    """
    features = [f for f in view.features if f.function not in (*ONE_ROW, "last_n")]
    if not features:
        return None
    keys = [f"_k{i}" for i in range(len(view.keys))]
    columns = list(dict.fromkeys(f.column for f in features if f.column is not None))
    windows = list(dict.fromkeys((f.window_us, f.hop_us) for f in features))
    nulls = [f"NULL AS {quoted(column)}" for column in columns]
    asked = ", ".join(["_question", *keys, "_t AS _ts", "NULL AS _event", *nulls])
    named = [f"{quoted(name)} AS _k{i}" for i, (name, _) in enumerate(view.keys)]
    happened = ", ".join(["NULL AS _question", *named, "_ts", "TRUE AS _event", *(quoted(c) for c in columns)])
    frames = ", ".join(
        f"w{i} AS ({_partition(keys)} ORDER BY _ts RANGE BETWEEN {_length(*window)} PRECEDING AND 1 PRECEDING)"
        for i, window in enumerate(windows)
    )
    dtypes = dict(view.columns)
    chosen = [
        f"{_aggregate(f, dtypes, f'w{windows.index((f.window_us, f.hop_us))}', nonfinite, huge)} AS {quoted(f.name)}"
        for f in features
    ]
    return (
        f"SELECT * EXCLUDE (_asking) FROM (SELECT _question, _question IS NOT NULL AS _asking, {', '.join(chosen)} "  # noqa: S608 - names are quoted
        f"FROM (SELECT {asked} FROM asked WHERE {_known(keys)} UNION ALL SELECT {happened} FROM {events} "
        f"WHERE {_known([quoted(name) for name, _ in view.keys])}) WINDOW {frames}) WHERE _asking"
    )


def one_row_sql(view: ViewSpec, events: str) -> Iterator[str]:
    """Give statements that return `_question` and every feature that is the value of one row.

    Features of the same rows share a statement: a join by time finds the latest row before, or not after, T; or the
    earliest after the window's beginning.

    Args:
        view: The view.
        events: The relation of its events.
    """
    groups: dict[tuple[str, str | None, tuple[int | None, int | None]], list[FeatureSpec]] = {}
    for feature in view.features:
        if feature.function in ONE_ROW:
            # of last_non_null the rows are those where its column is not null
            rows = feature.column if feature.function == "last_non_null" else feature.rows
            side = {"column": "upto", "first": "first"}.get(feature.function, "before")
            # the latest row is the same for all windows; where the earliest is looked for depends on the window
            window = (feature.window_us, feature.hop_us) if side == "first" else (None, None)
            groups.setdefault((side, rows, window), []).append(feature)
    for (side, rows, _), features in groups.items():
        yield _one_row(view, events, side, rows, features)


def last_n_sql(view: ViewSpec, events: str) -> Iterator[str]:
    """Give statements that return `_question` and one feature of the latest n rows each.

    The rows of a key are numbered, so that the n before the latest are found by their numbers.

    Args:
        view: The view.
        events: The relation of its events.
    """
    names = [quoted(name) for name, _ in view.keys]
    for feature in view.features:
        if feature.function != "last_n":
            continue
        assert feature.n is not None
        value = quoted(feature.column or "")
        chosen = "" if feature.rows is None else f" AND {quoted(feature.rows)} IS NOT NULL"
        keys = ", ".join([*names, ""]) if names else ""
        number = f"row_number() OVER ({_partition(names)} ORDER BY _ts, {_REVERSE})"
        ranked = (
            f"SELECT {keys}_ts, _seq, {value} AS _value, {number} AS _number FROM {events} "  # noqa: S608 - names are quoted
            f"WHERE {_known(names)}{chosen}"
        )
        latest = f"SELECT {keys}_ts, max(_number) AS _number FROM ranked GROUP BY {keys}_ts"  # noqa: S608 - names are quoted
        found = (
            f"SELECT asked._question, asked._t, {''.join(f'asked._k{i}, ' for i in range(len(names)))}latest._number "  # noqa: S608 - names are quoted
            f"FROM asked ASOF JOIN latest ON {_equal(names, 'latest')}asked._t > latest._ts"
        )
        wanted = f"SELECT *, _number - unnest(range({feature.n})) AS _place FROM found"  # noqa: S608 - names are quoted
        same = "".join(f"wanted._k{i} = ranked.{name} AND " for i, name in enumerate(names))
        yield (
            f"WITH ranked AS ({ranked}), latest AS ({latest}), found AS ({found}), wanted AS ({wanted}) "  # noqa: S608 - names are quoted
            f"SELECT _question, list(_value ORDER BY _place) AS {quoted(feature.name)} FROM wanted JOIN ranked "
            f"ON {same}ranked._number = wanted._place "
            f"WHERE ranked._ts >= wanted._t - {_length(feature.window_us, feature.hop_us)} GROUP BY _question"
        )


def extremes_sql(events: str, floats: Sequence[str]) -> str:
    """Return, per float column, how many values are NaN or infinite, and the greatest magnitude of the others."""
    asked = ", ".join(
        f"count(*) FILTER (NOT isfinite({c})), max(abs({c})) FILTER (isfinite({c}))" for c in map(quoted, floats)
    )
    return f"SELECT {asked} FROM {events}"  # noqa: S608 - names are quoted


def _one_row(view: ViewSpec, events: str, side: str, rows: str | None, features: Sequence[FeatureSpec]) -> str:
    names = [quoted(name) for name, _ in view.keys]
    keys = "".join(f"{name}, " for name in names)
    columns = ", ".join(dict.fromkeys(quoted(f.column or "") for f in features))
    chosen = "" if rows is None else f" AND {quoted(rows)} IS NOT NULL"
    start = _start(view, features[0], "asked._t")
    of_all = view.timeless or (side == "first" and start is None)
    # One row per key and instant, so that the join by time finds one row: the one that the total order names.
    found = (
        f"SELECT {keys}_ts, {columns} FROM {events} WHERE {_known(names)}{chosen} QUALIFY row_number() OVER "  # noqa: S608 - names are quoted
        f"({_partition(names if of_all else [*names, '_ts'])} ORDER BY "
        f"{f'_ts, {_REVERSE}' if side == 'first' else _ORDER}) = 1"
    )
    equal = _equal(names, "found")
    if of_all:
        join = f"LEFT JOIN found ON {equal}TRUE"
    elif side == "first":
        join = f"ASOF LEFT JOIN found ON {equal}{start} <= found._ts"
    else:
        join = f"ASOF LEFT JOIN found ON {equal}asked._t {'>=' if side == 'upto' else '>'} found._ts"
    shown = []
    for feature in features:
        value = f"found.{quoted(feature.column or '')}"
        start = _start(view, feature, "asked._t")
        if side == "first":
            value = f"CASE WHEN found._ts < asked._t THEN {value} END"
        elif start is not None and not view.timeless:
            value = f"CASE WHEN found._ts >= {start} THEN {value} END"
        shown.append(f"{value} AS {quoted(feature.name)}")
    return f"WITH found AS ({found}) SELECT asked._question, {', '.join(shown)} FROM asked {join}"  # noqa: S608 - names are quoted


def _start(view: ViewSpec, feature: FeatureSpec, at: str) -> str | None:
    """Return when the rows that a feature may take begin; None for any age."""
    if feature.window_us is not None:
        return f"({at} - {_length(feature.window_us, feature.hop_us, at)})"
    return None if view.ttl_us is None else f"({at} - {view.ttl_us})"


def _length(window_us: int | None, hop_us: int | None, at: str = "_ts") -> str:
    """Return how long before an instant a window begins."""
    if hop_us is None:
        return str(window_us)
    since = f"(({at} - {window_us}) % {hop_us})"  # since the hop before, but for the sign of what lies before 1970
    return f"({window_us} + ({since} + {hop_us}) % {hop_us})"


def _partition(keys: Sequence[str]) -> str:
    return f"PARTITION BY {', '.join(keys)}" if keys else ""


def _known(keys: Sequence[str]) -> str:
    return " AND ".join(f"{key} IS NOT NULL" for key in keys) or "TRUE"


def _equal(names: Sequence[str], relation: str) -> str:
    return "".join(f"asked._k{i} = {relation}.{name} AND " for i, name in enumerate(names))


def _aggregate(
    feature: FeatureSpec, dtypes: Mapping[str, str], over: str, nonfinite: Collection[str], huge: Mapping[str, float]
) -> str:
    function, name = feature.function, feature.column
    if name is None:
        return f"count(_event) OVER {over}"
    dtype, column = dtypes[name], quoted(name)
    if function == "count":
        return f"count({column}) OVER {over}"
    if function == "count_distinct":  # adding zero makes one of the two zeros
        return f"count(DISTINCT {f'{column} + 0.0' if dtype == 'float64' else column}) OVER {over}"
    value = f"CAST({column} AS BIGINT)" if dtype == "bool" else _DUCKDB.cast(column, dtype)
    if function in ("sum", "mean"):  # NaN and infinities go through addition as they should
        total = f"{'avg' if function == 'mean' else 'sum'}({value}) OVER {over}"
        return f"TRY_CAST({total} AS BIGINT)" if feature.dtype == "int64" else total
    if function in ("std", "var"):
        return _spread(function, value, over, scale=huge.get(name), poisoned=name in nonfinite)
    if function == "quantile":
        result = f"quantile_cont(CAST({value} AS DOUBLE), {feature.q!r}) OVER {over}"
    else:
        result = f"{function}({value}) OVER {over}"
    if name in nonfinite:  # NaN sorts above all numbers in SQL; here it poisons
        return f"CASE WHEN count(*) FILTER (isnan({value})) OVER {over} > 0 THEN 'nan'::DOUBLE ELSE {result} END"
    return f"CAST({result} AS BOOLEAN)" if dtype == "bool" and function in ("min", "max") else result


def _spread(function: str, value: str, over: str, *, scale: float | None, poisoned: bool) -> str:
    scaled = value if scale is None else f"({value} / {scale!r})"
    name = "stddev_samp" if function == "std" else "var_samp"
    back = "" if scale is None else f" * {scale!r}" if function == "std" else f" * {scale!r} * {scale!r}"
    if not poisoned:
        return f"{name}({scaled}) OVER {over}{back}"
    # The engine may refuse a deviation over NaN instead of returning it, so it never sees one.
    finite = f"{name}({scaled}) FILTER (isfinite({value})) OVER {over}{back}"
    return (
        f"CASE WHEN count({value}) OVER {over} < 2 THEN NULL "
        f"WHEN count(*) FILTER (NOT isfinite({value})) OVER {over} > 0 THEN 'nan'::DOUBLE ELSE {finite} END"
    )
