"""Materialise: rows of a source into the entity records of its views, in the order in which they arrived."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from falaj.definitions.service_spec import ViewSpec
from falaj.features.bulk_records import EntitySlices, by_entity, encode_new
from falaj.features.entity_key import decode_key, identity_key, progress_key, record_key
from falaj.features.events import Events, Int64s, first_versions
from falaj.features.growth import Growth
from falaj.features.layout import INT64_MIN
from falaj.features.merge import Identities, Unknowable, merge
from falaj.features.rows import INGEST_SEQ, EntityRows, entity_rows, latest_us
from falaj.kernel.errors import CorruptionError, DataError
from falaj.storage.keyvalue.port import KeyValueStore, changed

CHUNK_ROWS = 1_000_000
"""Rows that are written at once: large enough to merge each record seldom, small enough for a laptop's memory."""

_MANY = 64
"""From so many new records on it pays to lay them out together."""

_PROGRESS = struct.Struct("<2q")
_OWNER = struct.Struct("<q")
_NOWHERE = b"\xff"
"""Where an event lives whose key is null; no entity's key begins so."""
Puts = dict[bytes, bytes]
Reread = Callable[[ViewSpec, Sequence[Mapping[str, Any]], int], pa.Table]
"""Gives every row of a view's source that has one of the entities' keys, up to an `ingest_seq`."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a view has got.

    Attributes:
        applied_seq: All rows up to this `ingest_seq` are in the view; 0 before the first.
        latest_us: The greatest event time among them, events from the future aside; None before the first.
    """

    applied_seq: int = 0
    latest_us: int | None = None

    def watermark_us(self, view: ViewSpec) -> int | None:
        """Return the instant up to which the view's past is complete: the greatest event time less the lateness."""
        return None if self.latest_us is None else self.latest_us - view.lateness_us


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did.

    Attributes:
        through_seq: Up to which `ingest_seq` every view of the batch now is, at least.
        rows: Rows that at least one view had not seen.
        records: Entity records written.
    """

    through_seq: int
    rows: int
    records: int


def read_progress(kv: KeyValueStore, views: Sequence[ViewSpec]) -> list[Progress]:
    """Return how far each view has got."""
    held = _held_progress(kv, views)
    return [_progress_of(view, held) for view in views]


def _held_progress(kv: KeyValueStore, views: Sequence[ViewSpec]) -> dict[bytes, bytes | None]:
    keys = [progress_key(view.namespace) for view in views]
    return dict(zip(keys, kv.get_many(keys), strict=True))


def _progress_of(view: ViewSpec, held: Mapping[bytes, bytes | None]) -> Progress:
    raw = held[progress_key(view.namespace)]
    return Progress() if raw is None else _unpack_progress(raw)


def apply_batch(
    kv: KeyValueStore,
    views: Sequence[ViewSpec],
    table: pa.Table,
    through_seq: int,
    *,
    after_seq: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    on_chunk: Callable[[int, int], None] = lambda _done, _total: None,
    reread: Reread | None = None,
) -> Applied:
    """Bring the views of one source up to a number, each from where it stands; rows that a view has seen are skipped.

    Each chunk is one atomic write of records, identities and progress: a kill leaves whole chunks to go on from.

    Args:
        kv: The online store, whose only writer this is.
        views: The views; those that are ahead skip rows.
        table: Rows, ascending by `_ingest_seq`: the source's columns, `_event_ts`, `_created` and `_ingest_seq`.
            It must hold every row after the least progress of the views, up to `through_seq`.
        through_seq: The last number that the table accounts for.
        after_seq: The number after which the table holds every row, where that is not the first.
        chunk_rows: Rows of one write.
        on_chunk: Called after each write with the rows done and their total.
        reread: Reads an entity's rows again, for a correction of what its record holds no more as it was.

    Raises:
        DataError: Numbers are out of order, or a column is missing or of another type.
        CorruptionError: A record is damaged.
        StorageError: The store failed, or a view is no longer where it was: the table may lack rows that it needs now.
    """
    seqs = _numbers(table, through_seq)
    held = _held_progress(kv, views)
    least = min((_progress_of(view, held).applied_seq for view in views), default=after_seq)
    if least < after_seq:
        raise changed("the online store")
    start = int(np.searchsorted(seqs, least, "right"))
    rows = len(seqs) - start
    records = 0
    while True:
        end = min(start + chunk_rows, len(seqs))
        chunk_through = through_seq if end == len(seqs) else int(seqs[end - 1])
        puts: Puts = {}
        for view in views:
            stage = _Stage(kv, view, reread, puts, chunk_through)
            records += stage.apply(_progress_of(view, held), table.slice(start, end - start))
        if puts:
            # A server may lose its data at any instant: records without their past must not become progress.
            kv.write(puts.items(), unchanged=held)
            held |= {key: puts.get(key, raw) for key, raw in held.items()}
        start = end
        on_chunk(rows - (len(seqs) - start), rows)
        if start == len(seqs):
            return Applied(through_seq, rows, records)


def _numbers(table: pa.Table, through_seq: int) -> Int64s:
    seqs: Int64s = table[INGEST_SEQ].to_numpy()
    if len(seqs) and (np.any(np.diff(seqs) <= 0) or seqs[-1] > through_seq or seqs[0] < 1):
        raise DataError("rows to materialise are not in the order of their numbers", hint="sort them by _ingest_seq")
    return seqs


def _later(one_us: int | None, other_us: int | None) -> int | None:
    known = [us for us in (one_us, other_us) if us is not None]
    return max(known, default=None)


class _Stage:
    """What a chunk does to one view, added to what is going to be written.

    Args:
        kv: The online store.
        view: The view.
        reread: Reads an entity's rows again.
        puts: What is going to be written.
        through_seq: The last number that the chunk accounts for.
    """

    def __init__(self, kv: KeyValueStore, view: ViewSpec, reread: Reread | None, puts: Puts, through_seq: int) -> None:
        self._kv = kv
        self._view = view
        self._reread = reread
        self._puts = puts
        self._through_seq = through_seq
        self._growth = Growth(view)

    def apply(self, progress: Progress, chunk: pa.Table) -> int:
        """Return the number of records that change."""
        if self._through_seq <= progress.applied_seq:
            return 0
        seen = int(np.searchsorted(chunk[INGEST_SEQ].to_numpy(), progress.applied_seq, "right"))
        chunk = chunk.slice(seen)
        after = Progress(self._through_seq, _later(progress.latest_us, latest_us(self._view, chunk)))
        records, new = 0, not progress.applied_seq  # a new view holds nothing yet
        if chunk.num_rows:
            rows, taken_back = self._resolve_identities(entity_rows(self._view, chunk), new=new)
            watermark_us = after.watermark_us(self._view)
            watermark_us = INT64_MIN if watermark_us is None else watermark_us
            records = self._merge_entities(rows, taken_back, watermark_us, new=new)
        at = INT64_MIN if after.latest_us is None else after.latest_us
        self._puts[progress_key(self._view.namespace)] = _PROGRESS.pack(self._through_seq, at)
        return records

    def _resolve_identities(self, rows: EntityRows, *, new: bool) -> tuple[EntityRows, dict[bytes, set[bytes]]]:
        """Keep the rows that count, and name what corrections take back: entity key to identities.

        An event lives where its winning version says. The store remembers for every identity that version's `created`
        and entity, so that a duplicate is known even after the event was pruned, and a correction finds the old place.

        Args:
            rows: The chunk's rows.
            new: Whether the view holds nothing yet, so that no identity can be known.
        """
        if rows.events.identity is None:
            return rows, {}
        rows = _first_versions(rows)
        assert rows.events.identity is not None
        identities = rows.events.identity.tolist()
        prefix = identity_key(self._view.namespace, b"")
        places = [prefix + identity for identity in identities]
        created, entity = rows.events.created.tolist(), rows.entity.tolist()
        taken_back: dict[bytes, set[bytes]] = {}
        counts = np.ones(len(places), np.bool_)
        lives = [*rows.keys, _NOWHERE]  # of a null key the number is -1: the last
        if new:
            pack = _OWNER.pack
            owners = [pack(at) + lives[code] for at, code in zip(created, entity, strict=True)]
            self._puts.update(zip(places, owners, strict=True))
            return rows, {}
        for i, old in enumerate(self._kv.get_many(places)):
            key = lives[entity[i]]
            if old is not None:
                if created[i] <= _OWNER.unpack_from(old)[0]:
                    counts[i] = False
                    continue
                taken_back.setdefault(old[_OWNER.size :], set()).add(identities[i])
            self._puts[places[i]] = _OWNER.pack(created[i]) + key
        taken_back.pop(_NOWHERE, None)
        return EntityRows(rows.keys, rows.entity[counts], rows.events.take(counts)), taken_back

    def _merge_entities(
        self, rows: EntityRows, taken_back: dict[bytes, set[bytes]], watermark_us: int, *, new: bool
    ) -> int:
        parts = by_entity(rows.entity, rows.keys, rows.events)
        touched = list(dict.fromkeys([*parts, *taken_back]))
        prefix = record_key(self._view.namespace, b"")
        places = [prefix + key for key in touched]
        held = [None] * len(places) if new else self._kv.get_many(places)
        records = 0
        unknowable: list[bytes] = []
        for key, place, raw, made in zip(
            touched, places, held, self._made(touched, held, parts, watermark_us), strict=True
        ):
            if made is not None:
                self._puts[place] = made
                records += 1
                continue
            events = parts.slice_of(key)
            if raw is None and events is None:
                continue
            try:
                self._puts[place] = self._merged(raw, events, watermark_us, frozenset(taken_back.get(key, ())))
            except Unknowable:
                unknowable.append(key)
            records += 1
        if unknowable:  # all at once: each time the source is read from its beginning
            rows = self._all_events(unknowable)
            parts = by_entity(rows.entity, rows.keys, rows.events)
            for key in unknowable:
                self._puts[prefix + key] = self._merged(None, parts.slice_of(key), watermark_us, frozenset())
        return records

    def _made(
        self, keys: Sequence[bytes], held: Sequence[bytes | None], parts: EntitySlices, watermark_us: int
    ) -> list[bytes | None]:
        """Return the records of entities that the store does not know, where they are many and plain."""
        made: list[bytes | None] = [None] * len(keys)
        fresh = [i for i, raw in enumerate(held) if raw is None and keys[i] in parts]
        if len(fresh) >= _MANY:
            known = [keys[i] for i in fresh]
            found = encode_new(self._view, parts, known, applied_seq=self._through_seq, watermark_us=watermark_us)
            for i, raw in zip(fresh, found, strict=True):
                made[i] = raw
        return made

    def _merged(self, raw: bytes | None, new: Events | None, watermark_us: int, taken_back: Identities) -> bytes:
        at: dict[str, int] = {"applied_seq": self._through_seq, "watermark_us": watermark_us}
        if raw is not None and new is not None and not taken_back:
            grown = self._growth.grow(raw, new, **at)
            if grown is not None:
                return grown
        return merge(self._view, raw, new, taken_back=taken_back, **at)

    def _all_events(self, keys: Sequence[bytes]) -> EntityRows:
        """Return every event that lives in some entities, and perhaps in others, from their source's rows.

        Raises:
            DataError: There is nothing to read them from.
        """
        if self._reread is None:
            raise DataError(
                f"view {self._view.name!r}: a correction takes back what the online store holds no more as it was",
                hint="remove the online store and run 'falaj features materialise'",
            )
        entities = [decode_key(self._view, key) for key in keys]
        rows = entity_rows(self._view, self._reread(self._view, entities, self._through_seq))
        assert rows.events.identity is not None  # without one nothing can be taken back
        places = [identity_key(self._view.namespace, identity) for identity in rows.events.identity.tolist()]
        found = [self._puts.get(place, kept) for place, kept in zip(places, self._kv.get_many(places), strict=True)]
        lives = [*rows.keys, _NOWHERE]
        here = [
            owner == _OWNER.pack(created) + lives[code]
            for owner, created, code in zip(found, rows.events.created.tolist(), rows.entity.tolist(), strict=True)
        ]
        return _first_versions(EntityRows(rows.keys, rows.entity[here], rows.events.take(here)))


def _first_versions(rows: EntityRows) -> EntityRows:
    best = first_versions(rows.events)
    if len(best) == len(rows.events):
        return rows
    kept = np.isin(rows.events.seq, best.seq, assume_unique=True)
    return EntityRows(rows.keys, rows.entity[kept], rows.events.take(kept))


def _unpack_progress(raw: bytes) -> Progress:
    if len(raw) != _PROGRESS.size:
        raise CorruptionError(
            "online store: a view's progress is damaged", hint="run 'falaj features materialise' anew"
        )
    applied_seq, latest_us = _PROGRESS.unpack(raw)
    return Progress(applied_seq, None if latest_us == INT64_MIN else latest_us)
