"""Provenance: which file gave which rows, and how far each source has come; the SQL side of a source's sequence."""

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.data.report import FileReport
from falaj.kernel.codec import canonical_json
from falaj.storage.metadata.schema import metadata

PENDING, DONE, ABANDONED = "PENDING", "DONE", "ABANDONED"

INGEST_RANGE = sa.Table(
    "ingest_range",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=True),
    sa.Column("last_seq", sa.BigInteger, nullable=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Index("ix_ingest_range_source_last_seq", "source", "last_seq"),
    # One file at a time: the tables' app numbers only grow, so a second pending range could be taken for a repeat.
    sa.Index(
        "uq_ingest_range_pending",
        "source",
        unique=True,
        sqlite_where=sa.text("state = 'PENDING'"),
        postgresql_where=sa.text("state = 'PENDING'"),
    ),
)

INGESTED_FILE = sa.Table(
    "ingested_file",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("accepted", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("warnings", sa.Text, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("table_version", sa.BigInteger, nullable=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
)

SOURCE_STATE = sa.Table(
    "source_state",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("landed", sa.BigInteger, nullable=False),
    sa.Column("landing", sa.BigInteger, nullable=False),
)

REPLAYED_ROW = sa.Table(
    "replayed_row",
    metadata,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("as_seq", sa.BigInteger, nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
)


class FilePlan(msgspec.Struct, frozen=True):
    """All that is needed to finish a file after a crash, as it was when the file was first read.

    Attributes:
        source: The source's definition as JSON: checks that change meanwhile must not split the file otherwise.
        schema: Column to dtype.
        location: The file's absolute path.
        path: How reports show it.
        digest: SHA-256 of its bytes.
        size: Its length in bytes.
        rows: Rows read.
        accepted: Rows for the source's table.
        quarantined: Rows for the quarantine table.
        warnings: Reason to number of rows.
        at: When it was read, in microseconds since 1970.
        actor: Name of who asked.
    """

    source: str
    schema: dict[str, str]
    location: str
    path: str
    digest: str
    size: int
    rows: int
    accepted: int
    quarantined: int
    warnings: dict[str, int]
    at: int
    actor: str


class Range(msgspec.Struct, frozen=True):
    """The numbers that a file's rows have.

    Attributes:
        id: The row's own number.
        source: The source's name.
        state: PENDING, DONE or ABANDONED (the file vanished before any of it landed).
        first_seq: The first number; None until they are reserved.
        plan: How to finish it.
    """

    id: int
    source: str
    state: str
    first_seq: int | None
    plan: FilePlan


class Sequence(msgspec.Struct, frozen=True):
    """Where the numbers of a source lie.

    Attributes:
        landed: Every event of the log up to it is in the tables.
        in_table: First and last number of each file beyond `landed` that is in the tables, ascending.
        stop: Nothing from this number on may be read yet: a file is on its way; None when there is none.
        reserving: Whether a file is about to take numbers that are not known yet.
    """

    landed: int
    in_table: list[tuple[int, int]]
    stop: int | None
    reserving: bool


def find_file(connection: sa.Connection, source: str, digest: str) -> FileReport | None:
    """Return what was reported of a file of this content, or None when it has not been ingested."""
    query = sa.select(INGESTED_FILE).where(INGESTED_FILE.c.source == source, INGESTED_FILE.c.digest == digest)
    row = connection.execute(query).first()
    return None if row is None else _report(row)


def list_files(connection: sa.Connection, source: str) -> list[FileReport]:
    """Return what was reported of every ingested file, in the order of their numbers."""
    query = sa.select(INGESTED_FILE).where(INGESTED_FILE.c.source == source)
    return [_report(row) for row in connection.execute(query.order_by(INGESTED_FILE.c.first_seq, INGESTED_FILE.c.at))]


def begin(connection: sa.Connection, source: str, plan: FilePlan) -> Range:
    """Note that a file is about to take numbers, before it takes them."""
    values = {"source": source, "state": PENDING, "plan": canonical_json(plan).decode()}
    (id,) = connection.execute(INGEST_RANGE.insert().values(values)).inserted_primary_key or (0,)
    return Range(id, source, PENDING, None, plan)


def reserved(connection: sa.Connection, range: Range, first_seq: int) -> Range:
    """Note the numbers that it took."""
    last_seq = first_seq + range.plan.rows - 1
    change = INGEST_RANGE.update().where(INGEST_RANGE.c.id == range.id)
    connection.execute(change.values(first_seq=first_seq, last_seq=last_seq))
    return msgspec.structs.replace(range, first_seq=first_seq)


def finish(connection: sa.Connection, range: Range, table_version: int | None) -> FileReport:
    """Note that all its rows are in the tables, and where the file came from."""
    plan = range.plan
    report = FileReport(
        plan.path, plan.digest, plan.rows, plan.accepted, plan.quarantined, plan.warnings, range.first_seq or 0,
        table_version,
    )  # fmt: skip
    values = msgspec.to_builtins(report)
    del values["skipped"]
    values |= {"source": range.source, "size": plan.size, "at": plan.at, "actor": plan.actor}
    connection.execute(INGESTED_FILE.insert().values(values | {"warnings": canonical_json(plan.warnings).decode()}))
    connection.execute(INGEST_RANGE.update().where(INGEST_RANGE.c.id == range.id).values(state=DONE))
    return report


def abandon(connection: sa.Connection, range: Range) -> None:
    """Note that none of its rows will come: its numbers stay unused."""
    connection.execute(INGEST_RANGE.update().where(INGEST_RANGE.c.id == range.id).values(state=ABANDONED))


def pending(connection: sa.Connection, source: str | None = None) -> list[Range]:
    """Return the files that were begun and not finished, of one source or of all."""
    query = sa.select(INGEST_RANGE).where(INGEST_RANGE.c.state == PENDING).order_by(INGEST_RANGE.c.id)
    if source is not None:
        query = query.where(INGEST_RANGE.c.source == source)
    return [_range(row) for row in connection.execute(query)]


def sequence(connection: sa.Connection, source: str, from_seq: int) -> Sequence:
    """Return where the numbers from `from_seq` on lie."""
    landed, _ = landing(connection, source)
    table = INGEST_RANGE.c
    files = sa.select(table.state, table.first_seq, table.last_seq).where(
        table.source == source,
        (table.state == PENDING) | ((table.state == DONE) & (table.last_seq > landed) & (table.last_seq >= from_seq)),
    )
    rows: Iterable[Any] = connection.execute(files.order_by(table.first_seq)).fetchall()
    waiting = [row.first_seq for row in rows if row.state == PENDING]
    known = [first for first in waiting if first is not None]
    return Sequence(
        landed,
        [(row.first_seq, row.last_seq) for row in rows if row.state == DONE],
        min(known, default=None),
        len(known) < len(waiting),
    )


def file_rows(connection: sa.Connection, source: str, after: int) -> int:
    """Return how many numbers beyond one were given to files."""
    table = INGEST_RANGE.c
    query = sa.select(table.first_seq, table.last_seq).where(table.source == source, table.last_seq > after)
    return sum(row.last_seq - max(row.first_seq, after + 1) + 1 for row in connection.execute(query))


def landing(connection: sa.Connection, source: str) -> tuple[int, int]:
    """Return up to which number events have landed, and up to which they were about to (equal when at rest)."""
    query = sa.select(SOURCE_STATE.c.landed, SOURCE_STATE.c.landing).where(SOURCE_STATE.c.source == source)
    row = connection.execute(query).first()
    return (0, 0) if row is None else (row.landed, row.landing)


def set_landing(connection: sa.Connection, source: str, landed: int, landing: int) -> None:
    """Note how far events have landed and are about to."""
    change = SOURCE_STATE.update().where(SOURCE_STATE.c.source == source).values(landed=landed, landing=landing)
    if connection.execute(change).rowcount == 0:
        connection.execute(SOURCE_STATE.insert().values(source=source, landed=landed, landing=landing))


def note_replays(connection: sa.Connection, source: str, replays: Iterable[tuple[int, int, bool]]) -> None:
    """Note which quarantined rows came again, under which numbers and whether they were accepted; a repeat is harmless.

    Args:
        connection: An open transaction.
        source: The source's name.
        replays: Number in quarantine, number of the replay, and whether that was accepted.
    """
    table = REPLAYED_ROW
    for seq, as_seq, accepted in replays:
        connection.execute(table.delete().where(table.c.source == source, table.c.seq == seq))
        connection.execute(table.insert().values(source=source, seq=seq, as_seq=as_seq, accepted=accepted))


def replayed_rows(connection: sa.Connection, source: str) -> set[int]:
    """Return the numbers of the quarantined rows that were replayed, and are to be replayed no more."""
    query = sa.select(REPLAYED_ROW.c.seq).where(REPLAYED_ROW.c.source == source)
    return set(connection.execute(query).scalars())


def count_replayed(connection: sa.Connection, source: str) -> tuple[int, int]:
    """Return how many rows left the quarantine by a replay: all of them, and those that were accepted."""
    query = sa.select(REPLAYED_ROW.c.accepted, sa.func.count()).where(REPLAYED_ROW.c.source == source)
    counts = {row[0]: int(row[1]) for row in connection.execute(query.group_by(REPLAYED_ROW.c.accepted))}
    return sum(counts.values()), counts.get(True, 0)


def _range(row: sa.Row[Any]) -> Range:
    plan = msgspec.json.decode(row.plan, type=FilePlan)
    return Range(row.id, row.source, row.state, row.first_seq, plan)


def _report(row: sa.Row[Any]) -> FileReport:
    return FileReport(
        row.path, row.digest, row.rows, row.accepted, row.quarantined, msgspec.json.decode(row.warnings),
        row.first_seq, row.table_version,
    )  # fmt: skip
