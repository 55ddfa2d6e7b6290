"""`python -m falaj.app.migrations MESSAGE`: write the next revision from what the rooms declare.

It brings an empty database to the newest revision there is, compares it with the declared tables, and writes the
difference as `versions/rNNNN_message.py`. Read what it wrote: it cannot see a renamed column.
"""

import sys

from alembic import command

from falaj.app import tables
from falaj.app.migrate import SCRIPTS, config_over, migrate, revisions
from falaj.storage.metadata.database import Database


def write_revision(message: str) -> None:
    """Write the next revision.

    Args:
        message: What it does, in a few words; also its file's name.
    """
    db = Database.memory()
    try:
        migrate(db)
        with db.write() as connection:
            config = config_over(connection, SCRIPTS)
            config.attributes["metadata"] = tables.ALL[0].metadata
            number = f"{len(revisions(SCRIPTS)) + 1:04}"
            command.revision(config, message, autogenerate=True, rev_id=number)
    finally:
        db.close()


if __name__ == "__main__":
    write_revision(" ".join(sys.argv[1:]) or "change")
