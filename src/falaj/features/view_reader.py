"""ViewReader: all features of a view at T, from an entity record's bytes."""

import struct
from typing import Any

from falaj.definitions.aggregation import COUNTS
from falaj.definitions.service_spec import ViewSpec
from falaj.features.entity_key import KeyEncoder
from falaj.features.reader_code import reader_of
from falaj.features.status import NOT_FOUND
from falaj.kernel.errors import CorruptionError

UNREADABLE = (struct.error, IndexError, ValueError, OverflowError)
"""What reading a record may end with whose offsets, counts or texts are damaged."""


class ViewReader:
    """Computes a view's features from records.

    Args:
        view: The view.

    Attributes:
        names: The feature columns, as `view__feature`.
        place: Where an entity's record is kept, by its keys.
        absent: The values of an entity that has no record.
        not_found: The statuses of an entity that has no record.
        read: Appends values and statuses at T to two lists, and returns the record's applied `ingest_seq`; raises
            CorruptionError when the bytes are no record, or their header fails its check, and one of `UNREADABLE` where
            only what comes after the header is damaged.
    """

    __slots__ = ("absent", "name", "names", "not_found", "place", "read", "view")

    def __init__(self, view: ViewSpec) -> None:
        self.view = view
        self.name = view.name
        self.place = KeyEncoder(view)
        self.names = tuple(view.column_name(f.name) for f in view.features)
        self.absent: tuple[Any, ...] = tuple(0 if f.function in COUNTS else None for f in view.features)
        self.not_found = (NOT_FOUND,) * len(view.features)
        self.read = reader_of(view, self.damaged)

    def damaged(self) -> CorruptionError:
        """Return the error for a record that cannot be read."""
        return CorruptionError(
            f"online store: a record of view {self.name!r} is damaged and was not used",
            hint="run 'falaj features materialise' after removing the store, and check the disk",
        )
