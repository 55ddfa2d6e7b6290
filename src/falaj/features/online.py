"""Online: features of the present, read from entity records; no dataframe library, no NumPy."""

from collections.abc import Sequence
from typing import Any

import msgspec

from falaj.definitions.service_spec import ServiceSpec
from falaj.storage.keyvalue.port import KeyValueStore

PRESENT = "PRESENT"
NULL_VALUE = "NULL_VALUE"
NOT_FOUND = "NOT_FOUND"
OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
OUTSIDE_RETENTION = "OUTSIDE_RETENTION"


class OnlineRows(msgspec.Struct):
    """What was read: one entry per row asked for.

    Attributes:
        columns: The stored feature columns (`view__feature`), which are the first of the spec's outputs.
        values: Per row one value per output of the spec; None for null. Places of on-demand views and request fields
            are None until `features.on_demand.OnDemand.fill` fills them in place.
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
    """

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv

    def read(self, spec: ServiceSpec, entities: Sequence[dict[str, Any]], at_us: Sequence[int]) -> OnlineRows:
        """Return the features of each row at its instant, all from one snapshot of the store.

        Args:
            spec: The service.
            entities: Per row the entity keys by column name.
            at_us: Per row T, in microseconds.

        Raises:
            InputError: A key is missing or of another type; the message names it.
            CorruptionError: A record is damaged.
        """
        raise NotImplementedError
