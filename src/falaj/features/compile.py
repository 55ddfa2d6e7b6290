"""Compile: definitions and the sources' column types to the plain values that every engine reads."""

import math
from collections.abc import Mapping, Sequence

from falaj.definitions.aggregation import ARITHMETIC, COUNTS, Aggregation
from falaj.definitions.dtype import NUMERIC
from falaj.definitions.expression import Expression, bind, literal, parse, text_of
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.on_demand import computing_order
from falaj.definitions.service_spec import DerivedSpec, FeatureSpec, OnDemandSpec, RequestSpec, ServiceSpec, ViewSpec
from falaj.features.view_names import check_apart, check_taken
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

LAYOUT = 2
"""Counts up when the meaning of an aggregation or the bytes of an entity record change, so that old ones are left."""


def compile_view(view: FeatureView, schema: Mapping[str, str]) -> ViewSpec:
    """Return what is stored and computed for a view.

    Args:
        view: The definition.
        schema: The source's column names and types (string, int64, float64, bool, timestamp).

    Raises:
        DefinitionError: A column does not exist or has a type that its function cannot use, a key's type differs
            from the entity's, a ttl stands on a source without time, or engines could not tell two names apart.

    Example:
        >>> from falaj.definitions.aggregation import count, sum
        >>> from falaj.definitions.entity import Entity
        >>> from falaj.definitions.source import Push, Source
        >>> tx = Source("tx", stream=Push(), timestamp="at", schema={"card": "string", "amount": "float64"})
        >>> features = {"n": count(window="1h"), "spent": sum("amount", window="1d")}
        >>> spec = compile_view(FeatureView("activity", Entity("card", key="card"), tx, features), tx.schema)
        >>> [(f.name, f.dtype) for f in spec.features], spec.columns
        ([('n', 'int64'), ('spent', 'float64')], (('amount', 'float64'),))
    """
    source = view.source
    _check_keys(view, schema)
    _check_ttl(view)
    check_apart(view, schema)
    columns = _Columns(view, schema)
    features = tuple(_compile_feature(view, name, feature, columns) for name, feature in view.features.items())
    stored = tuple(dict.fromkeys((c, columns.dtype(c)) for f in features for c in (f.column, f.rows) if c is not None))
    spec = ViewSpec(
        name=view.name,
        digest=_digest(view, stored, columns.derived(stored), features),
        source=source.name,
        keys=view.keys,
        columns=stored,
        features=features,
        ttl_us=view.ttl_us,
        timeless=source.timeless,
        horizon_us=_reach_us(view, features) + source.lateness_us + view.delay_us,
        tile_us=_tile_us(features),
        head_us=_reach_us(view, [f for f in features if f.hop_us is None]) + source.lateness_us + view.delay_us,
        has_id=source.id is not None,
        id_column=source.id,
        derived=columns.derived(stored),
        lateness_us=source.lateness_us,
        delay_us=view.delay_us,
    )
    check_taken(spec)
    return spec


def compile_service(service: FeatureService, schemas: Mapping[str, Mapping[str, str]]) -> ServiceSpec:
    """Return all that is needed to compute a service's features.

    Args:
        service: The definition.
        schemas: Per source its column names and types.

    Returns:
        The compiled service. Its outputs are the views' features in declared order, then on-demand views and
        request fields in the service's order.

    Raises:
        DefinitionError: A source's types are not known, or a view does not fit them.
    """
    views = tuple(compile_view(view, _schema(view, schemas)) for view in service.views)
    on_demand = tuple(
        OnDemandSpec(v.name, tuple(v.inputs), v.code, v.dtype) for v in computing_order(service.on_demand)
    )
    request = tuple(RequestSpec(field.name, field.dtype) for field in service.request_fields)
    stored = [(view.column_name(f.name), f.dtype) for view in views for f in view.features]
    stored_views = {view.name for view in views}
    rest = [(f.name, f.dtype) for f in service.features if not isinstance(f, FeatureView)]
    for name, _ in rest:
        if name in stored_views:  # held by FeatureService too; a column must never be ambiguous
            raise DefinitionError(f"feature service {service.name!r} lists {name!r} twice", hint="rename one")
    meaning = [service.name, [v.digest for v in views], to_builtins(on_demand), to_builtins(request)]
    outputs = (*stored, *rest)
    return ServiceSpec(service.name, digest_value([*meaning, outputs]), views, on_demand, request, outputs)


def _digest(
    view: FeatureView,
    columns: tuple[tuple[str, str], ...],
    derived: tuple[DerivedSpec, ...],
    features: tuple[FeatureSpec, ...],
) -> str:
    """Return the digest of all that changes what is stored or what it means."""
    source = view.source
    return digest_value(
        {
            "layout": LAYOUT,
            "name": view.name,
            "source": [source.name, source.id, source.timestamp, source.created, source.lateness_us],
            "keys": view.keys,
            "columns": columns,
            "derived": [[column.name, text_of(column.expression)] for column in derived],
            "features": to_builtins(features),
            "ttl_us": view.ttl_us,
            "delay_us": view.delay_us,
        }
    )


def _reach_us(view: FeatureView, features: Sequence[FeatureSpec]) -> int:
    """Return how far before T events are looked at, those aside of which one is kept at any age."""
    reaches = [(f.window_us or 0) + (f.hop_us or 0) for f in features]
    if any(f.window_us is None and (f.function in ("first", "last_non_null") or f.rows) for f in features):
        reaches.append(view.ttl_us or 0)
    return max(reaches, default=0)


def _tile_us(features: Sequence[FeatureSpec]) -> int | None:
    """Return the greatest length that divides every hop."""
    return math.gcd(*(f.hop_us for f in features if f.hop_us is not None)) or None


def _check_ttl(view: FeatureView) -> None:
    if view.source.timeless and view.ttl is not None:
        raise DefinitionError(
            f"feature view {view.name!r} has ttl={view.ttl!r}, and source {view.source.name!r} has no timestamp",
            hint="remove the ttl, or declare the source's timestamp",
        )


def _schema(view: FeatureView, schemas: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    try:
        return schemas[view.source.name]
    except KeyError:
        raise DefinitionError(
            f"feature view {view.name!r}: the columns of source {view.source.name!r} are not known yet",
            hint="ingest its files, or declare its schema",
        ) from None


def _check_keys(view: FeatureView, schema: Mapping[str, str]) -> None:
    if view.entity is None:
        return
    for column, dtype in view.entity.keys:
        where = f"feature view {view.name!r}: key {column!r} of entity {view.entity.name!r}"
        if column not in schema:
            raise DefinitionError(f"{where} is not a column of {_columns_of(view, schema)}", hint=_near(column, schema))
        if schema[column] != dtype:
            raise DefinitionError(
                f"{where} is {dtype}, and the column of source {view.source.name!r} is {schema[column]}",
                hint=f"declare the entity with dtype={schema[column]!r}, or the source with schema={{{column!r}: "
                f"{dtype!r}}}",
            )


class _Columns:
    """The columns that a view's features may read: the source's own, its transforms, and what filters leave of both."""

    def __init__(self, view: FeatureView, schema: Mapping[str, str]) -> None:
        self._view = view
        self._derived: dict[str, Expression] = {}
        for name, text in view.transform.items():
            if name in schema:
                raise DefinitionError(
                    f"feature view {view.name!r}: transform {name!r} is a column of source {view.source.name!r} too",
                    hint="give it another name",
                )
            field = f"feature view {view.name!r} transform {name!r}"
            self._derived[name] = bind(parse(text, field=field), schema, field=field)
        self._schema = schema
        self._known = dict(schema) | {name: e.dtype for name, e in self._derived.items()}

    def dtype(self, name: str) -> str:
        return self._derived[name].dtype if name in self._derived else self._known[name]

    def check(self, where: str, name: str) -> None:
        if name not in self._known:
            raise DefinitionError(
                f"{where} reads column {name!r}, which is not a column of {_columns_of(self._view, self._known)}",
                hint=_near(name, self._known),
            )

    def filtered(self, field: str, where: str, column: str | None) -> str:
        """Return the derived column that holds a column's value, or True, where a filter holds, and null elsewhere."""
        condition = bind(parse(where, field=field), self._known, field=field)
        if condition.dtype != "bool":
            raise DefinitionError(f"{field} is {condition.dtype}", hint='write a condition, like "amount > 100"')
        chosen = literal(True, "bool") if column is None else Expression("column", (), column, self._known[column])  # noqa: FBT003
        case = Expression("case", (condition, chosen, literal(None, chosen.dtype)), None, chosen.dtype)
        name = f"{column or ''}_if_{digest_value(text_of(condition))[:8]}"
        self._derived[name] = self._inlined(case)
        return name

    def derived(self, stored: tuple[tuple[str, str], ...]) -> tuple[DerivedSpec, ...]:
        """Return those that are stored, over the source's own columns."""
        return tuple(DerivedSpec(name, self._derived[name]) for name, _ in stored if name in self._derived)

    def _inlined(self, node: Expression) -> Expression:
        """Return an expression with transforms in place of their names, so that no derived column reads another."""
        if node.op == "column":
            return node if node.value in self._schema else self._derived[node.value]
        return Expression(node.op, tuple(map(self._inlined, node.args)), node.value, node.dtype)


def _compile_feature(view: FeatureView, name: str, feature: Aggregation, columns: _Columns) -> FeatureSpec:
    column, function = feature.column, feature.function
    where = f"feature view {view.name!r}: feature {name!r}"
    dtype: str | None = "int64"
    if column is not None:
        columns.check(where, column)
        dtype = _result_dtype(function, columns.dtype(column))
        if dtype is None:
            raise DefinitionError(
                f"{where}: {function}({column!r}) cannot be taken of a {columns.dtype(column)} column",
                hint=f"use a number column, or fj.last({column!r}) or fj.count({column!r}, window=...)",
            )
    rows = None
    if feature.where is not None:
        field = f"{where} where"
        column = columns.filtered(field, feature.where, column)
        if function in ("first", "last", "last_n"):  # their nulls stay, so what was filtered must be told from a null
            rows = columns.filtered(field, feature.where, None)
    assert dtype is not None
    return FeatureSpec(
        name,
        function,
        column,
        feature.window_us,
        dtype,
        hop_us=feature.hop_us,
        rows=rows,
        n=feature.n,
        q=feature.q,
        sketch=feature.sketch,
    )


def _result_dtype(function: str, dtype: str) -> str | None:
    if function in COUNTS:
        return "int64"
    if function in ("column", "first", "last", "last_non_null"):
        return dtype
    if function == "last_n":
        return f"list[{dtype}]"
    if function in ("min", "max"):
        return dtype if dtype in (*NUMERIC, "timestamp") else None
    if function not in ARITHMETIC or dtype not in NUMERIC:
        return None
    return "int64" if function == "sum" and dtype != "float64" else "float64"


def _columns_of(view: FeatureView, schema: Mapping[str, str]) -> str:
    return f"source {view.source.name!r} ({', '.join(schema)})"


def _near(column: str, schema: Mapping[str, str]) -> str:
    return did_you_mean(column, schema)
