"""Ingest: each batch file of a source lands once, whole, with its provenance.

The order of commits, any of which a crash may follow:

1. the range is noted as PENDING, with all that is needed to finish it;
2. the log gives the file's rows their numbers, and they are noted;
3. the quarantine table gets the rejected rows, the source's table the accepted ones; each commit bears the range's
   first number as its writer's number, so that a repeat adds nothing;
4. provenance, DONE and the audit record, in one transaction.

A range that is still PENDING is finished from the file, which is known by its digest. Readers stop before it.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pyarrow.dataset as ds

from falaj.data import provenance
from falaj.data.batch_file import batch_files, naming, shown
from falaj.data.columns import INGEST_SEQ, quarantine_table, source_table
from falaj.data.provenance import FilePlan, Range
from falaj.data.quality import Rules
from falaj.data.reader import Logs
from falaj.data.report import FileReport, IngestReport, RefusedFile
from falaj.data.scan import Scan, fingerprint
from falaj.definitions.source import Source
from falaj.governance.access import Actor, authorise
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json
from falaj.kernel.digest import digest_file
from falaj.kernel.errors import CorruptionError, DataError
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

WRITER = "ingest"
"""The name under which the tables keep ingestion's own growing number."""


class Ingestion:
    """Brings batch files into the tables of their sources, one file at a time.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
        clock: Says when a file was ingested.
        scratch: Folder for scratch files as large as the largest file's rows; the system's by default.
    """

    def __init__(
        self, tables: TableStore, logs: Logs, db: Database, clock: Clock, *, scratch: Path | None = None
    ) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db
        self._clock = clock
        self._scratch = scratch
        self._turn = threading.Lock()

    def ingest(
        self,
        source: Source,
        schema: Mapping[str, str],
        folder: Path,
        actor: Actor,
        on_file: Callable[[FileReport], None] = lambda _: None,
    ) -> IngestReport:
        """Ingest the source's files that have not been ingested yet, known by their content.

        What a crash interrupted is finished first.

        Args:
            source: The definition.
            schema: Column to dtype, as `source_schema` gives it.
            folder: The project's folder.
            actor: Who asks; needs `source.ingest`.
            on_file: Called after each file.

        Returns:
            What was taken, and which files were not: one that is damaged or breaks the schema keeps no other one back,
            and nothing of it has landed.

        Raises:
            DataError: No file matches, or a check cannot be judged.
            AccessDenied: The actor may not.
        """
        authorise(actor, "source.ingest", source.name)
        Rules(source, schema)  # a check that cannot be judged is said before any file is read
        reports, refused = [], []
        with self._turn:
            self._recover(source.name)
            for path in batch_files(source, folder):
                report = self._ingest_file(source, schema, path, shown(path, folder), actor.name)
                if isinstance(report, RefusedFile):
                    refused.append(report)
                    continue
                reports.append(report)
                on_file(report)
        return IngestReport(source.name, reports, refused)

    def recover(self) -> list[FileReport]:
        """Finish the files that a crash interrupted, of all sources; to be called when the project is opened."""
        with self._turn:
            return self._recover(None)

    def files(self, source: str) -> list[FileReport]:
        """Return every ingested file of a source, in the order of their numbers."""
        with self._db.read() as connection:
            return provenance.list_files(connection, source)

    def _ingest_file(
        self, source: Source, schema: Mapping[str, str], path: Path, name: str, actor: str
    ) -> FileReport | RefusedFile:
        with ExitStack() as scanning:
            try:
                found = self._scan_file(source, schema, path, name, actor, scanning)
            except DataError as error:  # before it is noted: whoever reads further does not wait for it
                return RefusedFile(name, error.message, error.hint)
            if isinstance(found, FileReport):
                return found
            plan, scan = found
            with self._db.write() as connection:
                range = provenance.begin(connection, source.name, plan)
            return self._finish(range, scan)

    def _scan_file(
        self, source: Source, schema: Mapping[str, str], path: Path, name: str, actor: str, scanning: ExitStack
    ) -> FileReport | tuple[FilePlan, Scan]:
        """Read a file through, unless its content is known; nothing is written but scratch files."""
        before = fingerprint(path)
        with naming(path):
            digest = digest_file(path)
        with self._db.read() as connection:
            known = provenance.find_file(connection, source.name, digest)
        if known is not None:
            return msgspec.structs.replace(known, path=name, skipped=True)
        scan = scanning.enter_context(Scan(source, schema, path, self._scratch))
        if fingerprint(path) != before:
            raise DataError(f"file {path} was written to while it was read", hint="ingest again when it is whole")
        plan = FilePlan(
            canonical_json(source).decode(), dict(schema), str(path), name, digest, before[1], scan.rows,
            scan.accepted, scan.quarantined, scan.warnings, to_us(self._clock.now()), actor,
        )  # fmt: skip
        return plan, scan

    def _finish(self, range: Range, scan: Scan) -> FileReport:
        plan = range.plan
        if plan.rows and range.first_seq is None:
            first_seq = self._logs(range.source).reserve(plan.rows)
            with self._db.write() as connection:
                range = provenance.reserved(connection, range, first_seq)
        first = range.first_seq or 0
        provenance_of = (first, plan.path, plan.digest, plan.at)
        if plan.quarantined:
            rejected = scan.bad_rows(*provenance_of)
            self._tables.append(quarantine_table(range.source), rejected, app=(WRITER, first))
        if plan.accepted:
            accepted = scan.good_rows(*provenance_of)
            self._tables.append(source_table(range.source), accepted, app=(WRITER, first))
        return self._commit(range)

    def _commit(self, range: Range) -> FileReport:
        version = self._tables.version(source_table(range.source))
        with self._db.write() as connection:
            report = provenance.finish(connection, range, version)
            detail = msgspec.to_builtins(report)
            record(connection, self._clock, range.plan.actor, "source.ingest", range.source, detail)
        return report

    def _recover(self, source: str | None) -> list[FileReport]:
        with self._db.read() as connection:
            interrupted = provenance.pending(connection, source)
        reports = [self._recover_range(range) for range in interrupted]
        return [report for report in reports if report is not None]

    def _recover_range(self, range: Range) -> FileReport | None:
        plan = range.plan
        path = Path(plan.location)
        if path.is_file() and digest_file(path) == plan.digest:
            with Scan(msgspec.json.decode(plan.source, type=Source), plan.schema, path, self._scratch) as scan:
                if (scan.accepted, scan.quarantined) != (plan.accepted, plan.quarantined):
                    raise CorruptionError(
                        f"file {path} reads otherwise than when its ingestion was interrupted: {scan.accepted} rows "
                        f"accepted and {scan.quarantined} quarantined, not {plan.accepted} and {plan.quarantined}",
                        hint="finish it with the release of Falaj that began it",
                    )
                return self._finish(range, scan)
        if range.first_seq is not None and self._landed(range):
            return self._commit(range)
        with self._db.write() as connection:
            provenance.abandon(connection, range)
            detail = {"path": plan.path, "digest": plan.digest, "why": "the file vanished or changed before it landed"}
            record(connection, self._clock, plan.actor, "source.ingest_abandoned", range.source, detail)
        return None

    def _landed(self, range: Range) -> bool:
        """Return whether the last of the range's table commits was made."""
        plan = range.plan
        name = source_table(range.source) if plan.accepted else quarantine_table(range.source)
        if self._tables.version(name) is None:
            return False
        seq, first = ds.field(INGEST_SEQ), range.first_seq or 0
        here = (seq >= first) & (seq < first + plan.rows)
        return bool(self._tables.read(name, [INGEST_SEQ]).count_rows(filter=here))
