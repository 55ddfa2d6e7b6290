"""The metadata database that a project's settings choose."""

import time
from contextlib import ExitStack

from falaj.app.migrate import migrate
from falaj.kernel.errors import ProjectError
from falaj.kernel.settings import Settings
from falaj.storage.folder import StateFolder
from falaj.storage.metadata.belonging import belong
from falaj.storage.metadata.database import Database


def open_metadata(state: StateFolder, settings: Settings, *, writer: bool) -> Database:
    """Open the metadata database; with `writer`, take the project there and bring the schema to this release.

    Args:
        state: The project's state folder.
        settings: The project's settings.
        writer: Whether this process is the one that changes the project.

    Raises:
        ProjectError: The state folder's metadata is elsewhere, or the database is another folder's.
        Locked: It is on a server, and a process elsewhere holds the project.
        CorruptionError: It is damaged.
        StorageError: It does not answer.
    """
    storage = settings.storage
    if storage.database and state.db.exists():
        raise ProjectError(
            f"the metadata of {state.path} is in SQLite, and storage.database names another database",
            hint="leave storage.database out, or let the project begin anew with another storage.path",
        )
    if not storage.database and state.database_mark.exists():
        raise ProjectError(
            f"the metadata of {state.path} is in PostgreSQL, and storage.database is empty",
            hint="set storage.database, or FALAJ_STORAGE_DATABASE, to where it is",
        )
    if not storage.database:
        db = Database.sqlite(state.db)
    else:
        db = Database.postgres(storage.database, storage.database_password)
    with ExitStack() as closing:
        closing.callback(db.close)
        if writer:
            db.hold()
            migrate(db)
            if storage.database:
                belong(db, state.database_mark, time.time_ns() // 1000)
        closing.pop_all()
    return db
