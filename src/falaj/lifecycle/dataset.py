"""A model's training set: its examples, their features as of their instants, and which rows train and test."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from falaj.data.dataset import Dataset
from falaj.data.lineage import Node
from falaj.definitions.model import Model
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.engines.choice import open_engine
from falaj.features.offline import TIME_COLUMN, training_frame
from falaj.governance.access import Actor
from falaj.kernel.codec import to_builtins
from falaj.kernel.errors import DataError
from falaj.lifecycle.examples import LABEL, examples
from falaj.lifecycle.rooms import Rooms
from falaj.models.split import split_rows

SPLIT = "split"


def build_dataset(rooms: Rooms, model: Model, actor: Actor, versions: Mapping[str, int] | None = None) -> Dataset:
    """Build a model's training set; the same data and definitions give the same dataset.

    Args:
        rooms: The project.
        model: The definition.
        actor: Who asks.
        versions: Source to the table version to read; the present ones by default.

    Returns:
        The dataset: keys, `event_timestamp`, features, `label`, and `split` ("train", "test" or "gap").

    Raises:
        DataError: A source has no rows, no label is known, or a part of the split is empty.
    """
    spec = rooms.applied.document.services[model.features.name]
    read = dict(versions or table_versions(rooms, model))
    table = with_split(model, features_of(rooms, model, spec, read))
    inputs = {source: {"table_version": version} for source, version in sorted(read.items())}
    return rooms.datasets.save(
        model.name,
        table,
        split=to_builtins(model.split),
        spec_digest=spec.digest,
        inputs=inputs,
        lineage=[Node("view", view.digest) for view in spec.views],
        actor=actor,
    )


def features_of(rooms: Rooms, model: Model, spec: ServiceSpec, versions: Mapping[str, int]) -> pa.Table:
    """Return a model's examples with the features of a service, which may be another than the model's present one.

    Args:
        rooms: The project.
        model: Whose examples.
        spec: Which features.
        versions: Source to the table version to read.
    """
    label_source = model.label.source
    frame = examples(model, spec, rooms.tables, version=versions[label_source.name])
    if label_source.timeless:
        frame = frame.drop_columns([TIME_COLUMN])
    sources = {view.source for view in spec.views}
    tables = {name: rooms.tables.read(f"source/{name}", version=versions.get(name)) for name in sources}
    return training_frame(spec, frame, tables, engine=open_engine(rooms.settings.features))


def with_split(model: Model, table: pa.Table) -> pa.Table:
    """Return the table with the column `split`: "train", "test", or "gap" for rows that do neither."""
    labels = table.column(LABEL).to_numpy(zero_copy_only=False)
    event_us = None
    if TIME_COLUMN in table.column_names:
        event_us = table.column(TIME_COLUMN).cast(pa.int64()).to_numpy(zero_copy_only=False)
    train, test, _ = split_rows(model.split, event_us, labels, model.label.delay_us)
    parts = np.full(table.num_rows, "gap", dtype=object)
    parts[train], parts[test] = "train", "test"
    return table.append_column(SPLIT, pa.array(parts, pa.string()))


def table_versions(rooms: Rooms, model: Model) -> dict[str, int]:
    """Return the present table version of every source that a model reads.

    Raises:
        DataError: A source has no rows yet.
    """
    names = {view.source.name for view in model.features.views} | {model.label.source.name}
    found = {name: rooms.tables.version(f"source/{name}") for name in sorted(names)}
    for name, version in found.items():
        if version is None:
            raise DataError(f"source {name!r} has no rows yet", hint=f"read its files with 'falaj ingest {name}'")
    return {name: version for name, version in found.items() if version is not None}
