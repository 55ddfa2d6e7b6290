"""Ingest: each batch file of a source lands once, whole, with its provenance."""

from collections.abc import Callable, Mapping
from pathlib import Path

from falaj.data.reader import Logs
from falaj.data.report import FileReport, IngestReport
from falaj.definitions.source import Source
from falaj.governance.access import Actor
from falaj.kernel.clock import Clock
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore


class Ingestion:
    """Brings batch files into the tables of their sources.

    Args:
        tables: The tables.
        logs: Gives a source's event log.
        db: The metadata database.
        clock: Says when a file was ingested.
    """

    def __init__(self, tables: TableStore, logs: Logs, db: Database, clock: Clock) -> None:
        self._tables = tables
        self._logs = logs
        self._db = db
        self._clock = clock

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

        Raises:
            DataError: No file matches, or a file is damaged or breaks the schema; nothing of that file has landed,
                and the files before it have.
            AccessDenied: The actor may not.
        """
        raise NotImplementedError

    def recover(self) -> list[FileReport]:
        """Finish the files that a crash interrupted, of all sources; to be called when the project is opened."""
        raise NotImplementedError
