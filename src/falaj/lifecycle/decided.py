"""Decided: a version's live decisions as columns, for whoever watches them."""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from falaj.data.prediction_table import to_records
from falaj.definitions.prediction_policy import is_redacted
from falaj.definitions.prediction_record import PredictionRecord
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion
from falaj.monitoring.monitors import Batch
from falaj.monitoring.references import SCORE

_ROWS_AT_ONCE = 20_000


def decisions_after(
    rooms: Rooms, endpoint: str, version: ModelVersion, cursor: str, watched: Collection[str]
) -> Iterator[Batch]:
    """Yield the version's live decisions after the cursor, as columns of its inputs and its score.

    Args:
        rooms: The project.
        endpoint: Its name.
        version: Whose decisions.
        cursor: Of the batch before; empty at first.
        watched: Columns that are looked at: a decision logged without one of them is left out.
    """
    after = int(cursor or 0)
    while True:
        rows, after_next = rooms.predictions.scan(after, endpoint=endpoint, limit=_ROWS_AT_ONCE)
        if after_next == after:
            return
        after = after_next
        records = _live(rows, version, watched)
        at_us = np.array([record.at_us for record in records], dtype=np.int64)
        yield Batch(str(after), _columns(records, version), at_us)


def values_of(rows: pa.Table, version: ModelVersion, name: str) -> list[Any]:
    """Return one input of decisions, None where it was not logged.

    Args:
        rows: Of `predictions`.
        version: Whose decisions they are.
        name: The input.
    """
    place = [spec.name for spec in version.signature.inputs].index(name)
    found = []
    for text in rows.column("features").to_pylist():  # whole records would take ten times as long
        features = msgspec.json.decode(text)
        value = features[place] if len(features) > place else None
        found.append(None if isinstance(value, dict) else value)  # redacted, or no finite number
    return found


def _live(rows: pa.Table, version: ModelVersion, watched: Collection[str]) -> list[PredictionRecord]:
    names = [spec.name for spec in version.signature.inputs]
    places = [i for i, name in enumerate(names) if name in watched]
    return [
        record
        for record in to_records(rows)
        if (record.model, record.version, record.role, record.error) == (version.model, version.version, "live", "")
        and not any(is_redacted(record.features[i]) for i in places)  # logged under another policy
    ]


def _columns(records: list[PredictionRecord], version: ModelVersion) -> dict[str, list[Any]]:
    columns = {spec.name: [record.features[i] for record in records] for i, spec in enumerate(version.signature.inputs)}
    return columns | {SCORE: [record.score for record in records]}
