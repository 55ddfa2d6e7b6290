"""Which state folder a database on a server belongs to: what it says is about that folder's tables, logs and blobs."""

import secrets
from pathlib import Path

import sqlalchemy as sa

from falaj.kernel.errors import ProjectError
from falaj.storage.disk import write_atomically
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

STATE_FOLDER = sa.Table(
    "state_folder",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
)
"""At most one row."""


def belong(db: Database, mark: Path, now_us: int) -> None:
    """Tie a database and a state folder to each other, or refuse a pair that is not one.

    Args:
        db: The database, with its tables.
        mark: The folder's file with its id; made when absent.
        now_us: The present, in microseconds.

    Raises:
        ProjectError: The database belongs to another state folder.
    """
    own = mark.read_text("ascii").strip() if mark.exists() else None
    with db.read() as connection:
        found = connection.execute(sa.select(STATE_FOLDER.c.id)).scalar()
    if found is not None and found != own:
        raise ProjectError(
            "the database of storage.database tells of the tables, logs and models of another state folder",
            hint="give this project a database or a schema of its own, or restore that state folder",
        )
    if found is not None:
        return
    if own is None:  # the folder first: a crash between the two leaves a folder that no database contradicts
        own = secrets.token_hex(16)
        write_atomically(mark, own.encode())
    with db.write() as connection:
        connection.execute(STATE_FOLDER.insert().values(id=own, at=now_us))
