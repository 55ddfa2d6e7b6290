"""A model's training set: its examples, their features as of their instants, and which rows train and test."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from falaj.data.content import content_digest, plain_table
from falaj.data.dataset import Dataset, Request
from falaj.data.lineage import Node
from falaj.definitions.model import Model
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.slices import column_of
from falaj.features.entity_frame import TIME_COLUMN
from falaj.governance.access import Actor
from falaj.kernel.codec import to_builtins
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import DataError
from falaj.lifecycle.beside import own_columns, service_beside
from falaj.lifecycle.catch_up import land_all
from falaj.lifecycle.examples import LABEL, examples
from falaj.lifecycle.joining import Joining
from falaj.lifecycle.rooms import Rooms
from falaj.models.split import split_rows

SPLIT = "split"


def build_dataset(
    rooms: Rooms,
    model: Model,
    actor: Actor,
    versions: Mapping[str, int] | None = None,
    *,
    known_time: bool = False,
    engine: str = "",
) -> Dataset:
    """Build a model's training set; the same data and definitions give the same dataset.

    Args:
        rooms: The project.
        model: The definition.
        actor: Who asks.
        versions: Source to the table version to read; the present ones by default.
        known_time: Take only what was known at each row's instant.
        engine: What computes the features; the settings' engine by default.

    Returns:
        The dataset: keys, `event_timestamp`, features, `label`, and `split` ("train", "test" or "gap").

    Raises:
        DataError: A source has no rows, no label is known, or a part of the split is empty.
    """
    spec = rooms.applied.document.services[model.features.name]
    read = dict(versions or table_versions(rooms, model))
    frame = _asked(rooms, model, spec, read)
    joining = Joining(rooms, spec, read, known_time=known_time, engine=engine)
    more = service_beside(rooms, model)
    beside = None if more is None else Joining(rooms, more, read, known_time=known_time, engine=engine)
    contents = joining.contents()
    if beside is not None:
        contents |= {f"beside {source}": digest for source, digest in beside.contents().items()}
    return rooms.datasets.save(
        model.name,
        lambda: with_split(model, _with_beside(model, joining.join(frame), beside, frame)),
        split=division_of(model),
        spec_digest=spec.digest if more is None else digest_value([spec.digest, more.digest]),
        request=Request(content_digest(plain_table(frame)), contents, known_time),
        engine=joining.engine,
        inputs=inputs_of(read),
        lineage=lineage_of(spec, read),
        actor=actor,
    )


def _with_beside(model: Model, table: pa.Table, beside: Joining | None, frame: pa.Table) -> pa.Table:
    """Return the table with the wanted features of other views at its end."""
    if beside is None:
        return table
    joined = beside.join(frame)
    for column in map(column_of, model.sliced_by):
        if column not in table.column_names:
            table = table.append_column(column, joined.column(column))
    return table


def features_of(rooms: Rooms, model: Model, spec: ServiceSpec, versions: Mapping[str, int]) -> pa.Table:
    """Return a model's examples with the features of a service, which may be another than the model's present one.

    Args:
        rooms: The project.
        model: Whose examples.
        spec: Which features.
        versions: Source to the table version to read.
    """
    return Joining(rooms, spec, versions).join(_asked(rooms, model, spec, versions))


def division_of(model: Model) -> dict[str, Any]:
    """Return all that decides which rows train and which test, by which a dataset is known.

    The label's delay is part of it where time divides: a longer one can leave the examples as they are, and still
    forbid some of them to train.
    """
    divided: dict[str, Any] = to_builtins(model.split)
    gap_us = model.label.delay_us if model.split.kind == "time" else 0
    return divided | ({"gap_us": gap_us} if gap_us else {})


def with_split(model: Model, table: pa.Table) -> pa.Table:
    """Return the table with the column `split`: "train", "test", or "gap" for rows that do neither."""
    labels = table.column(LABEL).to_numpy(zero_copy_only=False)
    event_us = None
    if TIME_COLUMN in table.column_names:
        event_us = table.column(TIME_COLUMN).cast(pa.int64()).to_numpy(zero_copy_only=False)
    train, test, _ = split_rows(model.split, event_us, labels, model.label.delay_us, task=model.task)
    parts = np.full(table.num_rows, "gap", dtype=object)
    parts[train], parts[test] = "train", "test"
    return table.append_column(SPLIT, pa.array(parts, pa.string()))


def table_versions(rooms: Rooms, model: Model) -> dict[str, int]:
    """Land what every source that a model reads has acknowledged, and return their table versions.

    Raises:
        DataError: A source has no rows yet.
    """
    return landed_versions(rooms, sources_of(rooms, model))


def sources_of(rooms: Rooms, model: Model) -> set[str]:
    """Return the names of all sources that a model's training set is made from."""
    more = service_beside(rooms, model)
    beside = set() if more is None else {view.source for view in more.views}
    return {view.source.name for view in model.features.views} | {model.label.source.name} | beside


def landed_versions(rooms: Rooms, sources: Iterable[str]) -> dict[str, int]:
    """Land what sources have acknowledged, and return their table versions: nothing that was answered is missing.

    Raises:
        DataError: A source has no rows yet, or is not applied.
    """
    sources = set(sources)
    for name in sorted(sources):
        land_all(rooms, name)
    found = {name: rooms.tables.version(f"source/{name}") for name in sorted(sources)}
    for name, version in found.items():
        if version is None:
            raise DataError(f"source {name!r} has no rows yet", hint=f"read its files with 'falaj ingest {name}'")
    return {name: version for name, version in found.items() if version is not None}


def inputs_of(versions: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return what a dataset notes of the table versions that it was made from."""
    return {source: {"table_version": version} for source, version in sorted(versions.items())}


def lineage_of(spec: ServiceSpec, versions: Mapping[str, int]) -> list[Node]:
    """Return what a dataset is made from: views by their digests, and versions of sources."""
    sources = [Node("source", f"{source}@{version}") for source, version in sorted(versions.items())]
    return [*(Node("view", view.digest) for view in spec.views), *sources]


def _asked(rooms: Rooms, model: Model, spec: ServiceSpec, versions: Mapping[str, int]) -> pa.Table:
    more = service_beside(rooms, model)
    columns = own_columns(model, spec)
    if more is not None:
        columns += [key for key, _ in more.entity_keys]
    frame = examples(model, spec, rooms.tables, version=versions[model.label.source.name], beside=columns)
    return frame.drop_columns([TIME_COLUMN]) if model.label.source.timeless else frame
