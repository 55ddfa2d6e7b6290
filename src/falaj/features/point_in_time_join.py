"""Point in time by a join: a view's features at many instants, as SQL that every engine understands.

Events are joined to questions by equal keys and by time, numbered within each question in the total order, and grouped
by question; every aggregate is conditional on the flag of its window. The text does not depend on the data.

The relations that the statements read: `asked` (`_question`, `_t`, `_k0`, `_k1`, ...), one row per question; and one
relation of events per view (`_ts`, `_created`, `_seq`, `k0`, ..., `c0`, ...). Instants are whole microseconds and truth
values 1 or 0 throughout; `features.engines.answer` gives them back their types.
"""

from falaj.definitions.service_spec import FeatureSpec, ViewSpec
from falaj.features.dialect import Dialect
from falaj.features.expression_sql import expression_sql
from falaj.features.join_aggregates import Formulas, Rows
from falaj.features.point_in_time import ONE_ROW

_LATEST = "_ts DESC, _created DESC NULLS LAST, _seq DESC"
_EARLIEST = "_ts, _created NULLS FIRST, _seq"


def view_sql(view: ViewSpec, relation: str, dialect: Dialect) -> str:
    """Return one statement that answers `asked` from a source's table: `_question` and the view's features.

    Args:
        view: The view.
        relation: The source's table, with `_event_ts`, `_created` and `_ingest_seq`.
        dialect: The engine's way of saying things.

    Raises:
        Unsupported: The engine lacks a function of the same meaning.
    """
    return f"WITH events AS (\n{events_sql(view, relation, dialect)}\n)\n{features_sql(view, 'events', dialect)}"


def events_sql(
    view: ViewSpec, relation: str, dialect: Dialect, *, known_time: bool = False, whole_instants: bool = False
) -> str:
    """Return a view's events: of one id the greatest created, among equals the first that arrived.

    Args:
        view: The view.
        relation: The source's table.
        dialect: The engine's way of saying things.
        known_time: Return every version with the time `_until` which it was the one that was known.
        whole_instants: Whether the table holds instants as microseconds already.
    """
    sql = f"  SELECT {_source_columns(view, dialect, whole_instants=whole_instants)}\n  FROM {relation}"  # noqa: S608 - names are quoted
    conditions = [f"{dialect.quoted(name)} IS NOT NULL" for name, _ in view.keys]
    columns = ["_ts", "_created", "_seq"]
    if known_time:
        sql = _known_versions(sql, view.id_column and dialect.quoted(view.id_column))
        columns.append("_until")
    elif view.id_column is not None:
        identity = dialect.quoted(view.id_column)
        rank = f"row_number() OVER (PARTITION BY {identity} ORDER BY _created DESC NULLS LAST, _seq)"
        sql = f"  SELECT versions.*, {rank} AS _version FROM (\n  {sql}\n  ) AS versions"  # noqa: S608 - names are quoted
        conditions.append(f"({identity} IS NULL OR _version = 1)")
    derived = {column.name: column.expression for column in view.derived}
    columns += [f"{dialect.quoted(name)} AS k{i}" for i, (name, _) in enumerate(view.keys)]
    for i, (name, dtype) in enumerate(view.columns):
        value = expression_sql(derived[name], dialect) if name in derived else dialect.quoted(name)
        value = dialect.whole_number(value) if dtype == "bool" else value
        columns.append(f"{dialect.cast(value, 'int64' if dtype == 'bool' else dtype)} AS c{i}")
    where = f"\n  WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"  SELECT {', '.join(columns)} FROM (\n  {sql}\n  ) AS chosen{where}"  # noqa: S608 - names are quoted


def features_sql(view: ViewSpec, events: str, dialect: Dialect, *, known_time: bool = False) -> str:
    """Return the statement that gives `_question` and every feature; questions without an event are left out.

    Args:
        view: The view.
        events: The relation of its events.
        dialect: The engine's way of saying things.
        known_time: Take only what was known at the instant.
    """
    names = Names(view, dialect)
    formulas = Formulas(dialect)
    shown = [
        f"{formulas.of(feature, names.value(feature), names.rows_of(feature))} AS {dialect.quoted(feature.name)}"
        for feature in view.features
    ]
    inner = ", ".join(["a._question", "e.*", *(f"{sql} AS {name}" for sql, name in names.flags.items())])
    ranked = ", ".join(["joined.*", *(f"{sql} AS {name}" for sql, name in names.ranks.items())])
    grouped = ", ".join(["_question", *(f"{sql} AS {name}" for sql, name in formulas.aggregates.items())])
    return (
        f"SELECT _question, {', '.join(shown)}\nFROM (\n  SELECT {grouped}\n  FROM (\n    SELECT {ranked}\n    FROM (\n"  # noqa: S608 - names are quoted
        f"      SELECT {inner}\n      FROM asked AS a JOIN {events} AS e ON {_join(view, known_time=known_time)}\n"
        f"    ) AS joined\n  ) AS ranked\n  GROUP BY _question\n) AS grouped"
    )


class Names:
    """The flags and numbers that a view's features need, each written once under a short name.

    Args:
        view: The view.
        dialect: The engine's way of saying things.
    """

    def __init__(self, view: ViewSpec, dialect: Dialect) -> None:
        self._view = view
        self._dialect = dialect
        self._columns = {name: (f"c{i}", dtype) for i, (name, dtype) in enumerate(view.columns)}
        self.flags: dict[str, str] = {}
        self.ranks: dict[str, str] = {}

    def value(self, feature: FeatureSpec) -> tuple[str, str]:
        """Return the column that a feature reads and its type; empty for a count of rows."""
        return ("", "") if feature.column is None else self._columns[feature.column]

    def rows_of(self, feature: FeatureSpec) -> Rows:
        """Return which rows a feature takes."""
        inside = self._flag(_inside(self._view, feature, self._dialect))
        if feature.function not in (*ONE_ROW, "last_n"):
            return Rows(inside)
        # The latest row is the same for all windows; which is the earliest depends on where the window begins.
        first = feature.function == "first"
        counted = inside if first else self._flag(_before(self._view, feature))
        chosen = feature.column if feature.function == "last_non_null" else feature.rows
        if chosen is not None:
            given = f"{self._columns[chosen][0]} IS NOT NULL"
            counted, inside = f"{counted} AND {given}", f"{inside} AND {given}"
        order = f"CASE WHEN {counted} THEN 0 ELSE 1 END, {_EARLIEST if first else _LATEST}"
        number = f"row_number() OVER (PARTITION BY _question ORDER BY {order})"
        return Rows(inside, self.ranks.setdefault(number, f"r{len(self.ranks)}"))

    def _flag(self, condition: str) -> str:
        return self.flags.setdefault(f"({condition})", f"w{len(self.flags)}")


def _inside(view: ViewSpec, feature: FeatureSpec, dialect: Dialect) -> str:
    if view.timeless:
        return "TRUE"
    before = _before(view, feature)
    if feature.window_us is None:
        return before if view.ttl_us is None else f"e._ts >= a._t - {view.ttl_us} AND {before}"
    start = f"a._t - {feature.window_us}"
    if feature.hop_us is not None:
        start = f"{start} - {dialect.floor_modulo(start, feature.hop_us)}"
    return f"e._ts >= {start} AND {before}"


def _before(view: ViewSpec, feature: FeatureSpec) -> str:
    if view.timeless:
        return "TRUE"
    return f"e._ts {'<=' if feature.function == 'column' else '<'} a._t"  # a plain column is that of the latest row


def _join(view: ViewSpec, *, known_time: bool) -> str:
    conditions = [f"a._k{i} = e.k{i}" for i in range(len(view.keys))]
    if not view.timeless:
        upto = any(feature.function == "column" for feature in view.features)
        conditions.append(f"e._ts {'<=' if upto else '<'} a._t")
        reaches = [view.ttl_us if f.window_us is None else f.window_us + (f.hop_us or 0) for f in view.features]
        if None not in reaches:
            conditions.append(f"e._ts >= a._t - {max(reach or 0 for reach in reaches)}")
    if known_time:
        conditions.append("e._created <= a._t AND (e._until IS NULL OR a._t < e._until)")
    return " AND ".join(conditions) or "TRUE"


def _source_columns(view: ViewSpec, dialect: Dialect, *, whole_instants: bool) -> str:
    """Return the source's columns that the view reads, in their types."""

    def instant(name: str) -> str:
        return name if whole_instants else dialect.microseconds(name)

    # the order of a timeless source is that of arrival
    columns = [
        "CAST(0 AS {}) AS _ts".format(dialect.types["int64"]) if view.timeless else f"{instant('_event_ts')} AS _ts"
    ]
    columns += [f"{instant('_created')} AS _created", "_ingest_seq AS _seq"]
    wanted = dict(view.keys) | dict(view.inputs)
    for name, dtype in wanted.items():
        column = dialect.quoted(name)
        typed = instant(column) if dtype == "timestamp" else dialect.cast(column, dtype)
        columns.append(f"{typed} AS {column}")
    if view.id_column is not None and view.id_column not in wanted:
        columns.append(dialect.quoted(view.id_column))
    return ", ".join(columns)


def _known_versions(sql: str, identity: str | None) -> str:
    """Return every version with the instant from which another of its id was known instead.

    A version without a created time was never known. Of versions that became known at once the first counts.
    """
    known = f"SELECT versions.*, {{}} FROM (\n  {sql}\n  ) AS versions WHERE _created IS NOT NULL"  # noqa: S608 - names are quoted
    if identity is None:
        return f"  {known.format('CAST(NULL AS BIGINT) AS _until')}"
    rank = f"row_number() OVER (PARTITION BY {identity}, _created ORDER BY _seq) AS _version"
    until = f"lead(_created) OVER (PARTITION BY {identity} ORDER BY _created)"
    return (
        f"  SELECT known.*, CASE WHEN {identity} IS NOT NULL THEN {until} END AS _until FROM (\n  {known.format(rank)}"  # noqa: S608 - names are quoted
        f"\n  ) AS known WHERE {identity} IS NULL OR _version = 1"
    )
