"""Apply: compile the project's definitions, refuse what would break what serves, and put the rest in force."""

from collections.abc import Mapping

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from falaj.data.columns import quarantine_schema, quarantine_table, source_table, stored_schema
from falaj.data.file_sample import refuse_unusable
from falaj.data.schema import source_schema
from falaj.definitions.project import Definitions, digest_of
from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.features.compile import compile_service, compile_view
from falaj.features.dialect import DIALECTS
from falaj.features.engines.support import check_views
from falaj.governance.access import Actor
from falaj.kernel.codec import canonical_json
from falaj.kernel.errors import DataError, DefinitionError
from falaj.kernel.names import did_you_mean
from falaj.lifecycle.applied import Applied, Document, write_applied
from falaj.lifecycle.plan import Change, Plan, Serving, make_plan, refusing_misfits
from falaj.lifecycle.publication import policies_of
from falaj.lifecycle.rooms import Rooms
from falaj.models.training.foreseen import missing_library, refuse_misspelt
from falaj.rollout.table import TOPIC as ROUTING_TOPIC
from falaj.rollout.table import current_routes
from falaj.storage.metadata import outbox
from falaj.storage.tables.conform import fit_schema


def plan_definitions(rooms: Rooms, definitions: Definitions) -> Plan:
    """Compare the definitions with those in force.

    Args:
        rooms: The project.
        definitions: What the files say.

    Raises:
        DataError: A source's files cannot be read for their types, or its tables have others.
        DefinitionError: A view does not fit its source's columns, or a trainer's library lacks what it names.
    """
    plan = _compare(rooms, definitions)
    document = compile_document(rooms, definitions)  # what could not be applied is said by the plan already
    plan = refusing_misfits(plan, serving_versions(rooms), document.schemas)
    if not any(change.refused for change in plan.changes):
        _refuse_other_types(rooms, document)
    return plan


def _compare(rooms: Rooms, definitions: Definitions) -> Plan:
    applied = rooms.applied
    before = applied.document.definitions
    plan = make_plan(before, definitions, epoch=applied.epoch, serving=serving_versions(rooms))
    return Plan(plan.epoch, tuple(_foreseen(change, definitions) for change in plan.changes))


def _foreseen(change: Change, definitions: Definitions) -> Change:
    """Return a change that says what its trainer lacks; a training finds it after sources and features are done.

    Raises:
        DefinitionError: The trainer names what its library does not have.
    """
    if change.kind != "model" or change.action == "removed":
        return change
    trainer = definitions.models[change.name].trainer
    try:
        refuse_misspelt(trainer)
    except DefinitionError as error:
        raise DefinitionError(f"model {change.name!r}: {error.message}", hint=error.hint) from None
    told = [one for one in (change.effect, missing_library(trainer)) if one]
    return msgspec.structs.replace(change, effect="; ".join(told))


def apply_definitions(rooms: Rooms, definitions: Definitions, actor: Actor) -> tuple[Plan, Applied]:
    """Put the definitions in force.

    Args:
        rooms: The project.
        definitions: What the files say.
        actor: Who applies; already authorised.

    Returns:
        What was carried out, and the document now in force.

    Raises:
        InUse: A change would break a version that staging or production uses.
        DataError: A source's files cannot be read for their types, or its tables have others.
        DefinitionError: A view does not fit its source's columns, or a trainer's library lacks what it names.
        Conflict: Somebody applied meanwhile.
    """
    with rooms.promoting:  # what begins to serve meanwhile would not have been looked at
        plan = _compare(rooms, definitions)
        plan.refuse()
        document = compile_document(rooms, definitions)
        plan = refusing_misfits(plan, serving_versions(rooms), document.schemas)
        plan.refuse()
        if plan.empty and canonical_json(document) == canonical_json(rooms.applied.document):
            return plan, rooms.applied
        _land_outgoing(rooms, document)
        _refuse_other_types(rooms, document)
        detail = {"changes": [f"{c.action} {c.kind} {c.name}" for c in plan.changes]}
        logged_before, logged_after = policies_of(rooms.definitions), policies_of(definitions)

        def announce(connection: sa.Connection, at_us: int) -> None:
            if logged_before != logged_after:  # gateways log by the new policy without waiting for a rollout
                outbox.announce(connection, ROUTING_TOPIC, at_us)

        return plan, write_applied(
            rooms.db, rooms.clock, actor, document, after=plan.epoch, detail=detail, announce=announce
        )


def _land_outgoing(rooms: Rooms, document: Document) -> None:
    """Land what was logged as types that go, or to a source that goes or takes no more events: nobody will later."""
    for name, schema in rooms.applied.document.schemas.items():
        after = document.definitions.sources.get(name)
        goes = after is None or after.stream is None or document.schemas[name] != schema
        if goes and rooms.definitions.source(name).stream is not None:
            land_source(rooms, name, schema)


def _refuse_other_types(rooms: Rooms, document: Document) -> None:
    """Raise if a source's rows could not be kept beside those that its tables have.

    Raises:
        DataError: A column has another type there.
    """
    for name, schema in document.schemas.items():
        tables = {source_table(name): stored_schema(schema), quarantine_table(name): quarantine_schema(schema)}
        there_are = [table for table in tables if rooms.tables.version(table) is not None]
        present = {table: rooms.tables.read(table).schema for table in there_are}
        before = rooms.applied.document.schemas.get(name)
        if not present and before and rooms.reader.head(name):  # what waits in the log lands in the types of now
            present[source_table(name)] = stored_schema(before)
        for table, there in present.items():
            fit_schema(table, there, tables[table])
            _refuse_other_numbers(name, there, tables[table])


def _refuse_other_numbers(source: str, there: pa.Schema, wanted: pa.Schema) -> None:
    """Raise if whole numbers would be kept beside others: the table keeps its type, without 1.5 or 2**53 + 1."""
    for field in wanted:
        known = there.field(field.name).type if field.name in there.names else field.type
        if pa.types.is_floating(known) != pa.types.is_floating(field.type):
            old, new = ("float64", "int64") if pa.types.is_floating(known) else ("int64", "float64")
            raise DataError(
                f"source {source!r}: column {field.name!r} is {old} in the rows that are there, and would be {new}",
                hint=f"declare it with schema={{{field.name!r}: {old!r}}}, or give the {new} column another name",
            )


def land_source(rooms: Rooms, source: str, schema: Mapping[str, str]) -> int:
    """Move every event that was pushed until now into its source's table, and return the last number landed."""
    return rooms.events.land_all(source, schema)


def compile_document(rooms: Rooms, definitions: Definitions) -> Document:
    """Return the definitions with their sources' types and their compiled views and services.

    Raises:
        DataError: A source's files cannot be read, or a source that is new or changed could take none of their rows.
        DefinitionError: A view, label or request field does not fit its source's columns, or fields are to be hashed
            and there is no key.
        Unsupported: The engine that the settings name cannot compute a feature.
    """
    _check_redaction(rooms, definitions)
    schemas = {n: source_schema(s, rooms.folder, _kept(rooms, n)) for n, s in definitions.sources.items()}
    before = rooms.applied.document.definitions.sources
    for name, source in definitions.sources.items():
        if name not in before or digest_of(before[name]) != digest_of(source):
            refuse_unusable(source, schemas[name], rooms.folder)
    views = {n: compile_view(v, schemas[v.source.name]) for n, v in definitions.feature_views.items()}
    check_views(list(views.values()), DIALECTS[rooms.settings.features.engine])
    services = {n: compile_service(s, schemas) for n, s in definitions.feature_services.items()}
    for model in definitions.models.values():
        schema = schemas[model.label.source.name]
        needed = {model.label.column: "label"}
        needed |= {field.name: "request field" for field in model.features.request_fields}
        needed |= {key: "entity key" for view in model.features.views for key, _ in view.keys}
        for column, role in needed.items():
            if column not in schema:
                raise DefinitionError(
                    f"model {model.name!r}: {role} {column!r} is not a column of its label source "
                    f"{model.label.source.name!r}",
                    hint=f"its columns are {', '.join(sorted(schema))}",
                )
    _check_segments(definitions, services)
    _check_watched(definitions, schemas)
    return Document(definitions, schemas, services, views)


def _check_segments(definitions: Definitions, services: Mapping[str, ServiceSpec]) -> None:
    """Raise if a monitor makes segments by what its model does not take: nothing would be judged by it."""
    for endpoint in definitions.endpoints.values():
        inputs = [name for name, _ in services[endpoint.model.features.name].model_inputs]
        for by in endpoint.monitor.segments:
            if by not in inputs:
                raise DefinitionError(
                    f"endpoint {endpoint.name!r}: monitor makes segments by {by!r}, which its model does not take",
                    hint=did_you_mean(by, inputs),
                )


def _check_watched(definitions: Definitions, schemas: Mapping[str, Mapping[str, str]]) -> None:
    """Raise if a source watches a column that it does not have."""
    for name, source in definitions.sources.items():
        for column in source.watch.max_missing if source.watch else ():
            if column not in schemas[name]:
                raise DefinitionError(
                    f"source {name!r} watches {column!r}, which it does not have",
                    hint=did_you_mean(column, schemas[name]),
                )


def _kept(rooms: Rooms, source: str) -> dict[str, str]:
    """Return the column types of a source's rows; empty where there are none."""
    there = rooms.tables.version(source_table(source)) is not None
    return rooms.applied.document.schemas.get(source, {}) if there else {}


def _check_redaction(rooms: Rooms, definitions: Definitions) -> None:
    needing = [name for name, one in definitions.endpoints.items() if one.prediction_log.needs_key]
    if needing and not rooms.settings.storage.redaction_key:
        raise DefinitionError(
            f"endpoint {needing[0]!r}: prediction_log hashes fields, and storage.redaction_key is empty",
            hint="set FALAJ_STORAGE_REDACTION_KEY to a long random text for control and gateways, and keep it",
        )


def serving_versions(rooms: Rooms) -> list[Serving]:
    """Return the versions that staging, production or an endpoint uses."""
    routed: dict[tuple[str, int], list[str]] = {}
    with rooms.db.read() as connection:
        routes = current_routes(connection)
    ensembles: dict[str, list[str]] = {}
    for route in routes.values():
        for variant in route.variants:
            if variant.ensemble is None:
                routed.setdefault((variant.model, variant.version), []).append(route.endpoint)
                continue
            for member in variant.ensemble.endpoints:
                ensembles.setdefault(member, []).append(route.endpoint)
    wanted = {(v.model, v.version): v for model in rooms.registry.models() for v in rooms.registry.in_use(model)}
    for model, number in routed:
        wanted.setdefault((model, number), rooms.registry.get(model, number))
    return [
        Serving(model, number, rooms.registry.stage_of(model, number), version.service, endpoints, tuple(above))
        for key, version in sorted(wanted.items())
        for model, number in [key]
        for endpoints in [tuple(routed.get(key, ()))]
        for above in [dict.fromkeys(name for endpoint in endpoints for name in ensembles.get(endpoint, ()))]
        if version.service is not None
    ]


def views_in_force(rooms: Rooms) -> dict[str, list[ViewSpec]]:
    """Return, by source, the views to keep up to date online: the applied ones and those that serving versions pin."""
    views = {view.digest: view for view in rooms.applied.document.views.values()}
    for serving in serving_versions(rooms):
        views |= {view.digest: view for view in serving.service.views}
    by_source: dict[str, list[ViewSpec]] = {}
    for view in views.values():
        by_source.setdefault(view.source, []).append(view)
    return by_source


def schema_of(rooms: Rooms, source: str) -> dict[str, str]:
    """Return the column types of an applied source.

    Raises:
        DataError: The source has not been applied.
    """
    try:
        return rooms.applied.document.schemas[source]
    except KeyError:
        raise DataError(f"source {source!r} is not applied", hint="run 'falaj apply' first") from None
