"""Rooms: one opened project, as the pieces that the lifecycle works with; each is opened when first used."""

import functools
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from falaj.cost.meter import Meter
from falaj.data.datasets import Datasets
from falaj.data.events import Events
from falaj.data.feeds import Feeds
from falaj.data.frames import Frames
from falaj.data.ingest import Ingestion
from falaj.data.predictions import Predictions
from falaj.data.quarantine import Quarantine
from falaj.data.reader import Logs, SourceReader
from falaj.definitions.project import Definitions
from falaj.definitions.source import Source
from falaj.definitions.verdict import Verdict
from falaj.features.materialise import CHUNK_ROWS
from falaj.features.streaming import Applier
from falaj.governance.approvals import Approvals
from falaj.governance.identity import Actors
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.ids import NewId
from falaj.kernel.settings import Settings
from falaj.lifecycle.applied import Applied, applied_epoch, read_applied
from falaj.lifecycle.rates import Rates
from falaj.models.python.place import PythonPlace
from falaj.models.registry import Registry
from falaj.storage.blobs import BlobStore
from falaj.storage.feeds import Feed
from falaj.storage.folder import StateFolder
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.metadata import outbox
from falaj.storage.metadata.database import Database
from falaj.storage.tables.port import TableStore

TOKENS_TOPIC = "tokens"


class Rooms:
    """One opened project.

    Args:
        folder: The project's folder.
        settings: Its settings.
        state: Its state folder.
        clock: Gives the time.
        new_id: Makes identifiers.
        db: The metadata database.
        tables: The tables.
        blobs: The blobs.
        logs: Gives a source's event log.
        open_online: Opens the online store for writing; called at most once.
        open_feed: Opens what a source's events are taken from.
        chunk_rows: Rows to bring to the online store at once; None for the applier's own number.
    """

    def __init__(
        self,
        *,
        folder: Path,
        settings: Settings,
        state: StateFolder,
        clock: Clock,
        new_id: NewId,
        db: Database,
        tables: TableStore,
        blobs: BlobStore,
        logs: Logs,
        open_online: Callable[[], KeyValueStore],
        open_feed: Callable[[Source], Feed],
        chunk_rows: int | None = None,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.state = state
        self.clock = clock
        self.new_id = new_id
        self.db = db
        self.tables = tables
        self.blobs = blobs
        self.logs = logs
        self._open_online = open_online
        self._open_feed = open_feed
        self._chunk_rows = chunk_rows
        self.promoting = threading.Lock()
        self.deciding = threading.Lock()
        self.rates = Rates()
        self.last_check: Verdict | None = None
        self._applied = Applied()

    @property
    def applied(self) -> Applied:
        """The definitions in force, read anew when somebody applied."""
        if applied_epoch(self.db) != self._applied.epoch:
            self._applied = read_applied(self.db)
        return self._applied

    @property
    def definitions(self) -> Definitions:
        """The definitions in force."""
        return self.applied.document.definitions

    @functools.cached_property
    def online(self) -> KeyValueStore:
        """The online store, for writing; only one process at a time has it."""
        return self._open_online()

    @functools.cached_property
    def ingestion(self) -> Ingestion:
        """Batch files into tables."""
        return Ingestion(self.tables, self.logs, self.db, self.clock)

    @functools.cached_property
    def events(self) -> Events:
        """Pushed events into logs and tables."""
        return Events(self.tables, self.logs, self.db, self.clock)

    @functools.cached_property
    def feeds(self) -> Feeds:
        """What waits outside into logs."""
        return Feeds(self.events, self._open_feed)

    @functools.cached_property
    def quarantine(self) -> Quarantine:
        """Refused rows and events, and their replay."""
        return Quarantine(self.tables, self.events, self.db, self.clock)

    @functools.cached_property
    def reader(self) -> SourceReader:
        """A source's rows in order."""
        return SourceReader(self.tables, self.logs, self.db)

    @functools.cached_property
    def applier(self) -> Applier:
        """A source's rows into its online views."""
        return Applier(self.online, self._read_from, clock=self.clock, chunk_rows=self._chunk_rows or CHUNK_ROWS)

    @functools.cached_property
    def datasets(self) -> Datasets:
        """Immutable training sets."""
        return Datasets(self.blobs, self.db, self.clock, self.state.frames)

    @functools.cached_property
    def frames(self) -> Frames:
        """Rows that features are asked for, while they are."""
        return Frames(self.state.frames)

    @functools.cached_property
    def predictions(self) -> Predictions:
        """Logged decisions and outcomes."""
        return Predictions(self.tables, self.state.predictions, self.db)

    @functools.cached_property
    def actors(self) -> Actors:
        """Actors and tokens."""
        return Actors(self.db, self.clock, self.new_id, changed=self._tokens_changed)

    @functools.cached_property
    def approvals(self) -> Approvals:
        """Questions to people."""
        return Approvals(self.db, self.clock, self.new_id)

    @functools.cached_property
    def registry(self) -> Registry:
        """Model versions and their stages."""
        return Registry(self.db, self.clock)

    @functools.cached_property
    def meter(self) -> Meter:
        """What was used."""
        return Meter(self.db, self.clock)

    def python_place(self, model: str) -> PythonPlace:
        """Where the process of a Python model works while it is trained and judged."""
        return PythonPlace(self.state.run / "python", model, self.settings.python)

    def _read_from(self, source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        # The document of whoever set the views last: asking the database anew would cost each fresh event a query.
        applied = self._applied if self._applied.epoch else self.applied
        schema = applied.document.schemas.get(source, {})
        return self.reader.read_from(source, schema, seq, limit)

    def _tokens_changed(self, connection: sa.Connection) -> None:
        outbox.announce(connection, TOKENS_TOPIC, to_us(self.clock.now()))
