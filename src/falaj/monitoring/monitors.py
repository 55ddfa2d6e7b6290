"""The drift pass: count new decisions into windows, judge each full window, and never count a decision twice.

The cursor, the counts of the window that is filling, and what closed windows gave are one transaction. A pass killed
anywhere leaves the cursor where the counts are, and the next one goes on from there.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from falaj.definitions.verdict import Verdict
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import Conflict, InputError
from falaj.monitoring import alerts, verdicts
from falaj.monitoring.drift import DriftState, DriftVerdict, advance
from falaj.monitoring.estimated import estimate
from falaj.monitoring.histogram import Counts, unpack
from falaj.monitoring.questions import DriftPolicy, examine
from falaj.monitoring.references import SCORE, References, references_digest
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

MONITOR = sa.Table(
    "monitor_state",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

WINDOW = sa.Table(
    "monitor_window",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text, nullable=False),
)


class Batch(msgspec.Struct, frozen=True, eq=False):
    """Some decisions of one model version at one endpoint, in the order of their log.

    Attributes:
        cursor: Where the log stands after them.
        columns: Column to values, all of one length: the features by name, and the score.
        at_us: T of each decision, in microseconds, int64, (decisions,).
    """

    cursor: str
    columns: Mapping[str, Any]
    at_us: NDArray[np.int64]


class WindowPolicy(msgspec.Struct, frozen=True):
    """When a window is full.

    A window of time closes at the first decision about an instant beyond it: history that is replayed falls into the
    windows that it fell into then. By the wall clock it closes only when no decision came for its whole length, so that
    the last window of an endpoint that nobody asks any more is judged too. A decision about an earlier instant counts
    in the window that is open.

    Attributes:
        rows: Decisions in one window; ignored where there is a span.
        span_us: Length of a window of time, in microseconds, from whole multiples of it on; 0 for windows of rows.
        keep: Closed windows to keep; their counts are what a verdict replays from.
    """

    rows: int
    span_us: int = 0
    keep: int = 500

    @classmethod
    def of(cls, window: int | str, span_us: int) -> "WindowPolicy":
        """Return the policy that a monitor's definition asks for."""
        return cls(0, span_us) if isinstance(window, str) else cls(window)


class ClosedWindow(msgspec.Struct, frozen=True):
    """A window that was judged.

    Attributes:
        number: 1, 2, 3, …
        opened_us: When its first decision was counted, in microseconds; of a window of time its beginning.
        closed_us: When it was judged.
        rows: Its decisions.
        references: Digest of the references it was counted with.
        counts: Counts per cell, by the keys of the references.
        verdict: The number of its verdict.
    """

    number: int
    opened_us: int
    closed_us: int
    rows: int
    references: str
    counts: dict[str, list[int]]
    verdict: int


class _Filling(msgspec.Struct, frozen=True):
    """The window that is filling, and what is carried from the windows before it."""

    references: str
    cursor: str = ""
    number: int = 1
    opened_us: int = 0
    rows: int = 0
    counts: dict[str, list[int]] = {}
    counted_us: int = 0  # when a decision was counted last, by the wall clock
    drift: DriftState = DriftState()


class _Job(msgspec.Struct, frozen=True):
    """What one pass was asked to do."""

    name: str
    subject: str
    version: str
    references: References
    digest: str
    policy: DriftPolicy
    window: WindowPolicy
    now_us: int


_Judged = tuple[_Filling, DriftVerdict]


def watch_drift(
    db: Database,
    name: str,
    subject: str,
    version: str,
    references: References,
    read: Callable[[str], Iterable[Batch]],
    *,
    policy: DriftPolicy,
    window: WindowPolicy,
    now_us: int,
) -> list[Verdict]:
    """Count what is new, and judge every window that it fills.

    Each verdict is kept, and opens or resolves the subject's drift alert, in the transaction that closes its window.
    With it goes what the scores alone let one expect of the quality, which opens no alert.

    Args:
        db: The metadata database.
        name: What is watched: one name per endpoint and model version, since the references are the version's.
        subject: Whom verdicts and alerts are about, such as the endpoint.
        version: The version that verdicts are about, such as `fraud/3`.
        references: The version's frozen cells.
        read: Cursor to the batches after it, in order; the first cursor is empty.
        policy: When a difference is an alarm.
        window: When a window is full.
        now_us: The present, in microseconds.

    Returns:
        The verdicts of the windows that closed, the oldest first.

    Raises:
        InputError: A batch lacks a column, or its columns differ in length.
        Conflict: Another process counts under the same name.
    """
    job = _Job(name, subject, version, references, references_digest(references), policy, window, now_us)
    revision, filling = _load(db, job)
    given: list[Verdict] = []
    for batch in read(filling.cursor):
        filling, judged = _consume(job, filling, batch)
        given += _store(db, job, revision, filling, judged)
        revision += 1
    if _forsaken(job, filling):
        filling, closed = _close(job, filling)
        given += _store(db, job, revision, filling, [closed])
    return given


def closed_windows(connection: sa.Connection, name: str, *, limit: int = 500) -> list[ClosedWindow]:
    """Return the last judged windows, the oldest first."""
    query = sa.select(WINDOW.c.body).where(WINDOW.c.name == name).order_by(WINDOW.c.number.desc()).limit(limit)
    bodies = list(connection.execute(query).scalars())
    return [from_json(body, ClosedWindow, what="stored window") for body in reversed(bodies)]


def _load(db: Database, job: _Job) -> tuple[int, _Filling]:
    """Return where the pass before stopped; with other references the windows begin anew from there."""
    with db.read() as connection:
        row = connection.execute(sa.select(MONITOR).where(MONITOR.c.name == job.name)).one_or_none()
    if row is None:
        return 0, _Filling(job.digest)
    filling = from_json(row.body, _Filling, what="stored monitor")
    if filling.references != job.digest:
        filling = _Filling(job.digest, cursor=filling.cursor, number=filling.number)
    return row.revision, filling


def _consume(job: _Job, filling: _Filling, batch: Batch) -> tuple[_Filling, list[_Judged]]:
    """Count a batch, which may fill several windows; nothing is stored yet."""
    rows, start, judged = _rows(job, batch), 0, []
    while start < rows:
        stop, full, opened_us = _part(job, filling, batch.at_us, start, rows)
        if stop > start:
            filling = _add(job, filling, batch, start, stop, opened_us)
        if full:
            filling, closed = _close(job, filling)
            judged.append(closed)
        start = stop
    return msgspec.structs.replace(filling, cursor=batch.cursor), judged


def _part(job: _Job, filling: _Filling, at_us: NDArray[np.int64], start: int, rows: int) -> tuple[int, bool, int]:
    """Return up to which row the open window reaches, whether it is full then, and when it opened."""
    if not job.window.span_us:
        stop = min(rows, start + job.window.rows - filling.rows)
        opened_us = filling.opened_us if filling.rows else job.now_us
        return stop, filling.rows + stop - start >= job.window.rows, opened_us
    first_us = int(at_us[start])
    opened_us = filling.opened_us if filling.rows else first_us - first_us % job.window.span_us
    beyond = np.flatnonzero(at_us[start:rows] >= opened_us + job.window.span_us)
    return (start + int(beyond[0]), True, opened_us) if beyond.size else (rows, False, opened_us)


def _forsaken(job: _Job, filling: _Filling) -> bool:
    """Return whether no decision came for the whole length of a window of time that holds some."""
    span_us = job.window.span_us
    return bool(span_us and filling.rows and filling.counted_us and job.now_us - filling.counted_us >= span_us)


def _rows(job: _Job, batch: Batch) -> int:
    wanted = job.references.columns
    missing = sorted(set(wanted) - set(batch.columns))
    lengths = {len(batch.columns[column]) for column in wanted} | {len(batch.at_us)} if not missing else set()
    if missing or len(lengths) > 1:
        raise InputError(
            f"monitor {job.name!r}: a batch lacks columns {missing} or has columns of different lengths",
            hint="give every feature of the version, its score and its instant for every decision",
        )
    return lengths.pop() if wanted else 0


def _add(job: _Job, filling: _Filling, batch: Batch, start: int, stop: int, opened_us: int) -> _Filling:
    new = job.references.count({name: batch.columns[name][start:stop] for name in job.references.columns})
    held = filling.counts
    counts = {key: (one + np.asarray(held[key]) if key in held else one).tolist() for key, one in new.items()}
    rows = filling.rows + stop - start
    return msgspec.structs.replace(filling, opened_us=opened_us, rows=rows, counts=counts, counted_us=job.now_us)


def _close(job: _Job, filling: _Filling) -> tuple[_Filling, _Judged]:
    """Judge the window and return the empty one that follows it."""
    state, verdict = advance(filling.drift, examine(job.references, _counted(job, filling), job.policy), job.policy)
    following = _Filling(job.digest, cursor=filling.cursor, number=filling.number + 1, drift=state)
    return following, (filling, verdict)


def _counted(job: _Job, filling: _Filling) -> dict[str, Counts]:
    return {key: unpack(filling.counts[key], cells) for key, cells in job.references.cells().items()}


def _store(db: Database, job: _Job, revision: int, filling: _Filling, judged: list[_Judged]) -> list[Verdict]:
    """Store the windows that closed, their verdicts and alerts, and where the next pass goes on."""
    given = []
    with db.write() as connection:
        _advance_revision(connection, job.name, revision, to_json(filling))
        for window, drift in judged:
            verdict = drift.to_verdict(job.subject, job.now_us, job.version)
            verdict.evidence.update(monitor=job.name, window=window.number, rows=window.rows)
            number = verdicts.keep(connection, verdict)
            alerts.follow_verdict(connection, verdict)
            _keep_window(connection, job, window, number)
            _keep_estimate(connection, job, window)
            given.append(verdict)
    return given


def _advance_revision(connection: sa.Connection, name: str, revision: int, body: str) -> None:
    if revision == 0:
        taken = connection.execute(sa.select(MONITOR.c.name).where(MONITOR.c.name == name)).first() is not None
        if not taken:
            connection.execute(MONITOR.insert().values(name=name, revision=1, body=body))
    else:
        result = connection.execute(
            MONITOR.update()
            .where(MONITOR.c.name == name, MONITOR.c.revision == revision)
            .values(revision=revision + 1, body=body)
        )
        taken = result.rowcount != 1
    if taken:
        raise Conflict(f"monitor {name!r} is counted by another process", hint="run one control per project")


def _keep_estimate(connection: sa.Connection, job: _Job, window: _Filling) -> None:
    calibration, scores = job.references.calibration, job.references.columns.get(SCORE)
    if calibration is None or scores is None:
        return
    found = estimate(calibration, unpack(window.counts[SCORE], scores.counts), min_rows=job.policy.min_rows)
    verdict = found.to_verdict(job.subject, job.now_us, job.version)
    verdict.evidence.update(monitor=job.name, window=window.number, rows=window.rows)
    verdicts.keep(connection, verdict)


def _keep_window(connection: sa.Connection, job: _Job, window: _Filling, verdict: int) -> None:
    closed = ClosedWindow(
        number=window.number,
        opened_us=window.opened_us,
        closed_us=job.now_us,
        rows=window.rows,
        references=window.references,
        counts=window.counts,
        verdict=verdict,
    )
    connection.execute(WINDOW.insert().values(name=job.name, number=window.number, body=to_json(closed)))
    connection.execute(
        WINDOW.delete().where(WINDOW.c.name == job.name, WINDOW.c.number <= window.number - job.window.keep)
    )
