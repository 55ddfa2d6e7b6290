"""Online: features of the present, read from entity records; no dataframe library, no NumPy."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from falaj.definitions.service_spec import ServiceSpec, ViewSpec
from falaj.features.view_reader import UNREADABLE, ViewReader
from falaj.kernel.errors import InputError
from falaj.storage.keyvalue.port import KeyValueStore

_NOWHERE = b""
"""The key of an entity that is null: no record has it."""


class OnlineRows(msgspec.Struct):
    """What was read: one entry per row asked for.

    Attributes:
        columns: The stored feature columns (`view__feature`), which are the first of the spec's outputs.
        values: Per row one value per output of the spec; None for null. Places of on-demand views and request fields
            are None until `features.on_demand` fills them in place.
        statuses: Per row one status per entry of `columns`.
        applied_seq: Per row and view name, the `ingest_seq` up to which the entity's record holds all events; 0 when
            there is no record.
    """

    columns: tuple[str, ...]
    values: list[list[Any]]
    statuses: list[list[str]]
    applied_seq: list[dict[str, int]]


class OnlineReader:
    """Reads features from the online store.

    Args:
        kv: The store.

    Example:
        >>> from falaj.definitions.service_spec import FeatureSpec
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> n = FeatureSpec("n", "count", None, 1_000_000, "int64")
        >>> view = ViewSpec("activity", "00" * 32, "tx", (("card", "string"),), (), (n,), None, False, 1_000_000, False)
        >>> service = ServiceSpec("s", "11" * 32, (view,), (), (), (("activity__n", "int64"),))
        >>> rows = OnlineReader(MemoryStore()).read(service, [{"card": "c1"}], [0])
        >>> rows.values, rows.statuses, rows.applied_seq
        ([[0]], [['NOT_FOUND']], [{'activity': 0}])
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv
        self._readers: dict[str, ViewReader] = {}

    def read(self, spec: ServiceSpec, entities: Sequence[Mapping[str, Any]], at_us: Sequence[int]) -> OnlineRows:
        """Return the features of each row at its instant, all from one snapshot of the store.

        Args:
            spec: The service.
            entities: Per row the entity keys by column name.
            at_us: Per row T, in microseconds.

        Raises:
            InputError: A key is missing or of another type; the message names it.
            CorruptionError: A record is damaged.
        """
        if len(entities) != len(at_us):
            raise InputError(f"{len(entities)} entities and {len(at_us)} instants", hint="give one instant per entity")
        readers = [self._reader(view) for view in spec.views]
        columns = tuple(name for reader in readers for name in reader.names)
        rest = [None] * (len(spec.outputs) - len(columns))
        keys = [reader.place(entity) or _NOWHERE for entity in entities for reader in readers]
        rows = OnlineRows(columns, [], [], [])
        with self._kv.snapshot() as snapshot:
            records = iter(snapshot.get_many(keys))
            for at in at_us:
                values: list[Any] = []
                statuses: list[str] = []
                applied: dict[str, int] = {}
                for reader in readers:
                    raw = next(records)
                    if raw is None:
                        values += reader.absent
                        statuses += reader.not_found
                        applied[reader.name] = 0
                        continue
                    try:
                        applied[reader.name] = reader.read(raw, at, values, statuses)
                    except UNREADABLE as error:
                        raise reader.damaged() from error
                values += rest
                rows.values.append(values)
                rows.statuses.append(statuses)
                rows.applied_seq.append(applied)
        return rows

    def _reader(self, view: ViewSpec) -> ViewReader:
        reader = self._readers.get(view.digest)
        if reader is None:
            reader = self._readers[view.digest] = ViewReader(view)
        return reader
