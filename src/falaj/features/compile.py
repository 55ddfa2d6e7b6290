"""Compile: definitions and the sources' column types to the plain values that every engine reads."""

from collections.abc import Mapping

from falaj.definitions.aggregation import Aggregation
from falaj.definitions.dtype import NUMERIC
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import FeatureSpec, OnDemandSpec, RequestSpec, ServiceSpec, ViewSpec
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean

LAYOUT = 1
"""Counts up when the meaning of an aggregation or the bytes of an entity record change, so that old ones are left."""


def compile_view(view: FeatureView, schema: Mapping[str, str]) -> ViewSpec:
    """Return what is stored and computed for a view.

    Args:
        view: The definition.
        schema: The source's column names and types (string, int64, float64, bool, timestamp).

    Raises:
        DefinitionError: A column does not exist or has a type that its function cannot use, a key's type differs
            from the entity's, or a ttl stands on a source without time.

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
    features = tuple(_compile_feature(view, name, feature, schema) for name, feature in view.features.items())
    columns = tuple(dict.fromkeys((f.column, schema[f.column]) for f in features if f.column is not None))
    longest_us = max((f.window_us or 0 for f in features), default=0)
    return ViewSpec(
        name=view.name,
        digest=_digest(view, columns, features),
        source=source.name,
        keys=view.entity.keys,
        columns=columns,
        features=features,
        ttl_us=view.ttl_us,
        timeless=source.timeless,
        horizon_us=longest_us + source.lateness_us,
        has_id=source.id is not None,
        id_column=source.id,
    )


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
    on_demand = tuple(OnDemandSpec(v.name, tuple(v.inputs), v.code, v.dtype) for v in service.on_demand)
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


def _digest(view: FeatureView, columns: tuple[tuple[str, str], ...], features: tuple[FeatureSpec, ...]) -> str:
    """Return the digest of all that changes what is stored or what it means."""
    source = view.source
    return digest_value(
        {
            "layout": LAYOUT,
            "name": view.name,
            "source": [source.name, source.id, source.timestamp, source.created, source.lateness_us],
            "keys": view.entity.keys,
            "columns": columns,
            "features": to_builtins(features),
            "ttl_us": view.ttl_us,
        }
    )


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


def _compile_feature(view: FeatureView, name: str, feature: Aggregation, schema: Mapping[str, str]) -> FeatureSpec:
    column, function = feature.column, feature.function
    if column is None:
        return FeatureSpec(name, function, None, feature.window_us, "int64")
    where = f"feature view {view.name!r}: feature {name!r}"
    if column not in schema:
        raise DefinitionError(
            f"{where} reads column {column!r}, which is not a column of {_columns_of(view, schema)}",
            hint=_near(column, schema),
        )
    dtype = _result_dtype(function, schema[column])
    if dtype is None:
        raise DefinitionError(
            f"{where}: {function}({column!r}) cannot be taken of a {schema[column]} column",
            hint=f"use a number column, or fj.last({column!r}) or fj.count({column!r}, window=...)",
        )
    return FeatureSpec(name, function, column, feature.window_us, dtype)


def _result_dtype(function: str, dtype: str) -> str | None:
    if function == "count":
        return "int64"
    if function in ("column", "last"):
        return dtype
    if function in ("min", "max"):
        return dtype if dtype in (*NUMERIC, "timestamp") else None
    if dtype not in NUMERIC:
        return None
    return "int64" if function == "sum" and dtype != "float64" else "float64"


def _columns_of(view: FeatureView, schema: Mapping[str, str]) -> str:
    return f"source {view.source.name!r} ({', '.join(schema)})"


def _near(column: str, schema: Mapping[str, str]) -> str:
    return did_you_mean(column, schema)
