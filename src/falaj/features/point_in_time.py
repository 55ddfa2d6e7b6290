"""Point in time: a view's features at many instants, as DuckDB SQL over integer microseconds.

The relations that the statements read: `asked` (`row`, `t`, `k0`, `k1`, ...), one row per row of the training frame;
and one relation of events per source (`ts`, `created`, `seq`, the columns), one row per event.
"""

from collections.abc import Collection, Mapping, Sequence

from falaj.definitions.service_spec import FeatureSpec, ViewSpec

_SQL_TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN", "string": "VARCHAR", "timestamp": "BIGINT"}


def quoted(name: str) -> str:
    """Return a name as an SQL identifier.

    Example:
        >>> print(quoted('a"b'))
        "a""b"
    """
    return '"' + name.replace('"', '""') + '"'


def events_sql(relation: str, columns: Mapping[str, str], id_column: str | None, until_us: int | None) -> str:
    """Return the events of a source, one row each: of one id the greatest created, among equals the first.

    Args:
        relation: The source's table.
        columns: The columns wanted and their types.
        id_column: The source's identity.
        until_us: Events after this instant are left out; None keeps all.
    """
    chosen = [f"{_typed(name, dtype)} AS {quoted(name)}" for name, dtype in columns.items()]
    times = ["epoch_us(_event_ts) AS ts", "epoch_us(_created) AS created", "_ingest_seq AS seq"]
    sql = f"SELECT {', '.join(times + chosen)} FROM {relation}"  # noqa: S608 - names are quoted
    if id_column is not None:
        identity = quoted(id_column)
        rank = f"row_number() OVER (PARTITION BY {identity} ORDER BY epoch_us(_created) DESC NULLS LAST, _ingest_seq)"
        sql += f" QUALIFY {identity} IS NULL OR {rank} = 1"
    # Only after identities are settled: a correction may move an event past the last instant asked for.
    return sql if until_us is None else f"SELECT * FROM ({sql}) WHERE ts <= {until_us}"  # noqa: S608 - names are quoted


def windowed_sql(view: ViewSpec, events: str, nonfinite: Collection[str], huge: Mapping[str, float]) -> str | None:
    """Return `row` and every windowed aggregate of a view but last; None when it has none.

    Questions and events are laid into one sequence, so that each frame `[t - window, t - 1us]` is a range of it.

    Args:
        view: The view.
        events: The relation of its source's events.
        nonfinite: Float columns that hold NaN or an infinity.
        huge: Float columns whose squares would overflow, and a power of two to divide them by.
    """
    features = [f for f in view.features if f.function not in ("column", "last")]
    if not features:
        return None
    keys = [f"k{i}" for i in range(len(view.keys))]
    columns = list(dict.fromkeys(f.column for f in features if f.column is not None))
    windows = list(dict.fromkeys(f.window_us for f in features))
    nulls = [f"NULL AS {quoted(column)}" for column in columns]
    asked = ", ".join(["row", *keys, "t AS ts", "NULL AS event", *nulls])
    named = [f"{quoted(name)} AS k{i}" for i, (name, _) in enumerate(view.keys)]
    known = " AND ".join(f"{quoted(name)} IS NOT NULL" for name, _ in view.keys)
    happened = ", ".join(["NULL AS row", *named, "ts", "TRUE AS event", *(quoted(c) for c in columns)])
    frames = ", ".join(
        f"w{i} AS (PARTITION BY {', '.join(keys)} ORDER BY ts RANGE BETWEEN {w} PRECEDING AND 1 PRECEDING)"
        for i, w in enumerate(windows)
    )
    dtypes = dict(view.columns)
    chosen = [
        f"{_aggregate(f, dtypes, f'w{windows.index(f.window_us)}', nonfinite, huge)} AS {quoted(f.name)}"
        for f in features
    ]
    answered = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    return (
        f"SELECT * EXCLUDE (asking) FROM (SELECT row, row IS NOT NULL AS asking, {', '.join(chosen)} FROM ("  # noqa: S608 - names are quoted
        f"SELECT {asked} FROM asked WHERE {answered} UNION ALL SELECT {happened} FROM {events} WHERE {known}"
        f") WINDOW {frames}) WHERE asking"
    )


def latest_sql(view: ViewSpec, events: str, function: str) -> str | None:
    """Return `row` and every plain column, or every last, of a view; None when it has none.

    Args:
        view: The view.
        events: The relation of its source's events.
        function: "column": the latest row not after T; "last": the latest row before T.
    """
    features = [f for f in view.features if f.function == function]
    if not features:
        return None
    names = [quoted(name) for name, _ in view.keys]
    columns = ", ".join(dict.fromkeys(quoted(f.column or "") for f in features))
    per_instant = ", ".join(names if view.timeless else [*names, "ts"])
    known = " AND ".join(f"{name} IS NOT NULL" for name in names)
    # One row per key and instant, so that the join by time finds one latest row: the greatest in the total order.
    latest = (
        f"SELECT {', '.join(names)}, ts, {columns} FROM {events} WHERE {known} QUALIFY row_number() OVER "  # noqa: S608 - names are quoted
        f"(PARTITION BY {per_instant} ORDER BY created DESC NULLS LAST, seq DESC) = 1"
    )
    equal = " AND ".join(f"asked.k{i} = latest.{name}" for i, name in enumerate(names))
    if view.timeless:
        join = f"LEFT JOIN latest ON {equal}"
    else:
        join = f"ASOF LEFT JOIN latest ON {equal} AND asked.t {'>' if function == 'last' else '>='} latest.ts"
    chosen = []
    for feature in features:
        age_us = view.ttl_us if feature.window_us is None else feature.window_us
        value = f"latest.{quoted(feature.column or '')}"
        if age_us is not None:
            value = f"CASE WHEN latest.ts >= asked.t - {age_us} THEN {value} END"
        chosen.append(f"{value} AS {quoted(feature.name)}")
    return f"WITH latest AS ({latest}) SELECT asked.row, {', '.join(chosen)} FROM asked {join}"  # noqa: S608 - names are quoted


def extremes_sql(events: str, floats: Sequence[str]) -> str:
    """Return, per float column, how many values are NaN or infinite, and the greatest magnitude of the others."""
    asked = ", ".join(
        f"count(*) FILTER (NOT isfinite({c})), max(abs({c})) FILTER (isfinite({c}))" for c in map(quoted, floats)
    )
    return f"SELECT {asked} FROM {events}"  # noqa: S608 - names are quoted


def _typed(name: str, dtype: str) -> str:
    column = quoted(name)
    return f"epoch_us({column})" if dtype == "timestamp" else f"CAST({column} AS {_SQL_TYPES[dtype]})"


def _aggregate(
    feature: FeatureSpec, dtypes: Mapping[str, str], over: str, nonfinite: Collection[str], huge: Mapping[str, float]
) -> str:
    function, name = feature.function, feature.column
    if name is None:
        return f"count(event) OVER {over}"
    dtype, column = dtypes[name], quoted(name)
    if function == "count":
        return f"count({column}) OVER {over}"
    value = f"CAST({column} AS BIGINT)" if dtype == "bool" else f"CAST({column} AS {_SQL_TYPES[dtype]})"
    if function in ("sum", "mean"):  # NaN and infinities go through addition as they should
        total = f"{'avg' if function == 'mean' else 'sum'}({value}) OVER {over}"
        return f"TRY_CAST({total} AS BIGINT)" if feature.dtype == "int64" else total
    if function == "std":
        return _deviation(value, over, scale=huge.get(name), poisoned=name in nonfinite)
    extreme = f"{function}({value}) OVER {over}"
    if name in nonfinite:  # NaN sorts above all numbers in SQL; here it poisons
        return f"CASE WHEN count(*) FILTER (isnan({value})) OVER {over} > 0 THEN 'nan'::DOUBLE ELSE {extreme} END"
    return f"CAST({extreme} AS BOOLEAN)" if dtype == "bool" else extreme


def _deviation(value: str, over: str, *, scale: float | None, poisoned: bool) -> str:
    scaled = value if scale is None else f"({value} / {scale!r})"
    if not poisoned:
        result = f"stddev_samp({scaled}) OVER {over}"
        return result if scale is None else f"{result} * {scale!r}"
    # The engine may refuse a deviation over NaN instead of returning it, so it never sees one.
    finite = f"stddev_samp({scaled}) FILTER (isfinite({value})) OVER {over}"
    finite = finite if scale is None else f"{finite} * {scale!r}"
    return (
        f"CASE WHEN count({value}) OVER {over} < 2 THEN NULL "
        f"WHEN count(*) FILTER (NOT isfinite({value})) OVER {over} > 0 THEN 'nan'::DOUBLE ELSE {finite} END"
    )
