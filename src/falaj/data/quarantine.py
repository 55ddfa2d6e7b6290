"""Quarantine: the dead letters of a source, rows and events that were refused, with their reasons; and their replay.

A replayed row comes again as an event, under a new number, which says of which row it is the replay. Landing notes both
numbers in the transaction that says how far it has come, and a replay begins by landing: whatever is in the log from a
replay that died is known before any row is looked at. So each row is replayed once, wherever the process is killed.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from falaj.data import provenance
from falaj.data.columns import DIGEST, FILE, INGEST_SEQ, RAW, REASONS, STREAM, quarantine_table, rows_schema
from falaj.data.convert import convert_rows
from falaj.data.event_frame import EventFrame
from falaj.data.event_row import read_event
from falaj.data.events import Events, make_frame
from falaj.data.feed_position import FROM
from falaj.data.quality import Rules, not_of_type
from falaj.definitions.source import Source
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import InputError
from falaj.kernel.sentence import one_sentence
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

Letter = dict[str, Any]
"""A row of the quarantine table."""

_CHUNK_ROWS = 5_000
_NEEDED = [INGEST_SEQ, FILE, DIGEST, REASONS, RAW]


class Replayed(msgspec.Struct, frozen=True):
    """What became of quarantined rows that were looked at again.

    Attributes:
        source: The source.
        looked_at: Rows that stood in quarantine and matched.
        accepted: Those that the present definition accepts; they are in the source now.
        refused: Those that stay.
        reasons: Why they stay: reason to number of rows.
        dry_run: Whether nothing was changed.
        through: The number of the last row looked at; those before it have been dealt with.
        until: The number of the last row that stood in quarantine when the replay began.
        left: Rows between the two that have not been looked at.
    """

    source: str
    looked_at: int
    accepted: int
    refused: int
    reasons: dict[str, int]
    dry_run: bool
    through: int = 0
    until: int = 0
    left: int = 0


class Quarantine:
    """The rows of each source that were refused and have not been replayed.

    Args:
        tables: The tables.
        events: Logs and lands what is replayed.
        db: The metadata database.
        clock: Says when a row came again.
    """

    def __init__(self, tables: TableStore, events: Events, db: Database, clock: Clock) -> None:
        self._tables = tables
        self._events = events
        self._db = db
        self._clock = clock
        self._turn = threading.Lock()

    def rows(self, source: str, limit: int) -> list[dict[str, Any]]:
        """Return refused rows with their reasons, the newest first, at most `limit`."""
        found = self._dataset(source)
        if found is None:
            return []
        seqs = found.to_table(columns=[INGEST_SEQ])[INGEST_SEQ]
        with self._db.read() as connection:
            gone = pa.array(sorted(provenance.replayed_rows(connection, source)), pa.int64())
        here = pc.filter(seqs, pc.invert(pc.is_in(seqs, value_set=gone)))
        newest = here.take(pc.sort_indices(here, sort_keys=[("", "descending")])[:limit])
        table = found.to_table(filter=ds.field(INGEST_SEQ).isin(newest.combine_chunks()))
        rows: list[dict[str, Any]] = table.sort_by([(INGEST_SEQ, "descending")]).to_pylist()
        return rows

    def count(self, source: str) -> tuple[int, int]:
        """Return how many rows stand in quarantine, and how many were accepted by a replay."""
        found = self._dataset(source)
        with self._db.read() as connection:
            gone, accepted = provenance.count_replayed(connection, source)
        return (0 if found is None else found.count_rows() - gone), accepted

    def replay(
        self,
        source: Source,
        schema: Mapping[str, str],
        actor: str,
        *,
        reason: str = "",
        dry_run: bool = False,
        after: int = 0,
        until: int | None = None,
        within_s: float | None = None,
    ) -> Replayed:
        """Give quarantined rows to the present definition again, each once; those refused again stay.

        Args:
            source: The definition.
            schema: Column to dtype.
            actor: Who asks; already authorised.
            reason: Only rows one of whose reasons has this text in it.
            dry_run: Change nothing; say what would become of them.
            after: Only rows with a greater number: the `through` of the piece before.
            until: Only rows up to this number; all that there are by default.
            within_s: Begin on no further rows after so many seconds; None to go on to the end.

        Raises:
            DiskFull: No space is left; what was replayed before is kept, and the rest can be replayed again.
        """
        at, began = to_us(self._clock.now()), self._clock.monotonic()
        looked_at = accepted = place = 0
        refused: Counter[str] = Counter()
        with self._turn:
            self._events.land_all(source.name, schema)
            standing = self._standing(source.name, after, until)
            while place < len(standing):
                if place and within_s is not None and self._clock.monotonic() - began >= within_s:
                    break
                letters = self._letters(source.name, standing[place : place + _CHUNK_ROWS], reason)
                place = min(place + _CHUNK_ROWS, len(standing))
                frames = _judge_again(source, schema, letters, at) if letters else []
                changed = [f for f, letter in zip(frames, letters, strict=True) if f.reasons != letter[REASONS]]
                if changed and not dry_run:
                    self._events.append(source.name, changed)
                looked_at += len(frames)
                accepted += sum(frame.reasons is None for frame in frames)
                refused.update(why for f in frames for why in f.reasons or () if not why.startswith(FROM))
            if not dry_run:
                self._events.land_all(source.name, schema)
                detail = {"looked_at": looked_at, "accepted": accepted, "reason": reason}
                with self._db.write() as connection:
                    record(connection, self._clock, actor, "source.replay", source.name, detail)
        return Replayed(
            source.name, looked_at, accepted, looked_at - accepted, dict(refused.most_common(20)), dry_run,
            through=int(standing[place - 1]) if place else after,
            until=int(standing[-1]) if len(standing) else until or after,
            left=len(standing) - place,
        )  # fmt: skip

    def _dataset(self, source: str) -> ds.Dataset | None:
        name = quarantine_table(source)
        return None if self._tables.version(name) is None else self._tables.read(name)

    def _standing(self, source: str, after: int, until: int | None) -> NDArray[np.int64]:
        """Return the numbers of the rows that stand in quarantine now, in their order."""
        found = self._dataset(source)
        if found is None:
            return np.empty(0, np.int64)
        numbers = found.to_table(columns=[INGEST_SEQ])[INGEST_SEQ].to_numpy()
        with self._db.read() as connection:
            gone = provenance.replayed_rows(connection, source)
        standing: NDArray[np.int64] = np.setdiff1d(numbers, np.fromiter(gone, np.int64))
        return standing[(standing > after) & (standing <= (until or np.inf))]

    def _letters(self, source: str, numbers: NDArray[np.int64], reason: str) -> list[Letter]:
        """Return the rows of some numbers, in their order, one of whose reasons has a text in it."""
        found, seq = self._dataset(source), ds.field(INGEST_SEQ)
        assert found is not None
        near = (seq >= int(numbers[0])) & (seq <= int(numbers[-1]))  # of the other files nothing is read
        rows = found.to_table(columns=_NEEDED, filter=near & seq.isin(pa.array(numbers))).sort_by(INGEST_SEQ)
        return [letter for letter in rows.to_pylist() if any(reason in why for why in letter[REASONS] or [""])]


def _judge_again(source: Source, schema: Mapping[str, str], letters: Sequence[Letter], at: int) -> list[EventFrame]:
    """Return a frame for each letter, as the present definition judges it."""
    filed = [letter for letter in letters if letter[FILE] != STREAM]
    read_of = dict(zip((letter[INGEST_SEQ] for letter in filed), _read_filed(schema, filed), strict=True))
    read = [read_of.get(letter[INGEST_SEQ]) or read_event(source, schema, letter[RAW]) for letter in letters]
    rows = [row for row, reasons in read if not reasons]
    columns = {name: [row.get(name) for row in rows] for name in schema}
    judged = Rules(source, schema).judge(pa.table(columns, schema=rows_schema(schema)))
    failed, why = iter(judged.rejected.to_pylist()), iter(judged.reasons)
    frames = []
    for letter, (row, malformed) in zip(letters, read, strict=True):
        reasons = malformed or (next(why) if next(failed) else None)
        reasons = reasons and [*reasons, *(said for said in letter[REASONS] or () if said.startswith(FROM))]
        frame = make_frame(source, at, row, reasons, raw="" if reasons is None else letter[RAW])
        file, digest = ("", "") if letter[FILE] == STREAM else (letter[FILE], letter[DIGEST])
        frames.append(msgspec.structs.replace(frame, replays=letter[INGEST_SEQ], file=file, digest=digest))
    return frames


def _read_filed(schema: Mapping[str, str], letters: Sequence[Letter]) -> list[tuple[dict[str, Any], list[str]]]:
    """Return the fields of rows that came from files, which write values in more ways than events may."""
    objects = [_object(letter[RAW]) for letter in letters]
    columns = [pa.array([_text((o or {}).get(name)) for o in objects], pa.string()) for name in schema]
    rows, unreadable = convert_rows(schema, pa.RecordBatch.from_arrays(columns, list(schema)), text=True)
    instants = [name for name, dtype in schema.items() if dtype == "timestamp"]
    for name in instants:
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.int64()))
    bad = {name: mask.to_pylist() for name, mask in unreadable.items()}
    found: list[tuple[dict[str, Any], list[str]]] = []
    for place, (letter, whole, row) in enumerate(zip(letters, objects, rows.to_pylist(), strict=True)):
        if whole is None:  # a line that is no row, whatever the definition says
            found.append(({}, list(letter[REASONS])))
            continue
        reasons = [
            one_sentence(f"{not_of_type(name, schema[name])}: {whole[name]!r}") for name in bad if bad[name][place]
        ]
        found.append(({name: value for name, value in row.items() if value is not None}, reasons))
    return found


def _object(raw: str) -> dict[str, Any] | None:
    try:
        return from_json(raw, dict[str, Any])
    except InputError:
        return None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else to_json(value)
