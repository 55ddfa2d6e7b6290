"""Bring the metadata database to the schema of this release."""

from falaj.app import tables
from falaj.storage.metadata.database import Database


def migrate(db: Database) -> None:
    """Create what is absent.

    Raises:
        CorruptionError: The database is damaged.
    """
    assert tables.ALL
    db.create_all()
