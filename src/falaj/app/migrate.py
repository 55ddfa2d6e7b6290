"""Bring the metadata database to the schema of this release, and refuse one that a newer release has written."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from falaj.kernel.errors import ProjectError
from falaj.storage.metadata.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent / "migrations"
"""Alembic's scripts; `versions/rNNNN_what.py` holds revision NNNN."""


def migrate(db: Database, scripts: Path = SCRIPTS) -> None:
    """Bring a database to the newest revision, in one transaction; do nothing when it is there.

    A process that dies meanwhile leaves the revision that was there before.

    Args:
        db: The metadata database.
        scripts: The folder of Alembic's scripts.

    Raises:
        ProjectError: A newer release has written the database, or it was not made by a release at all.
        CorruptionError: The database is damaged.
    """
    known = revisions(scripts)
    present = _present(db)
    if known and present == known[-1]:
        return  # the usual case, told without loading Alembic: every command of the command line comes past here
    if present is not None and present not in known:
        raise ProjectError(
            f"the metadata database has schema revision {present}, and this release knows none beyond {known[-1]}",
            hint="install the release that wrote it, or a newer one",
        )
    from alembic import command

    with db.write() as connection:
        command.upgrade(config_over(connection, scripts), "head")


def revisions(scripts: Path) -> list[str]:
    """Return the known revisions, the oldest first, as the names of their files say."""
    return sorted(path.stem[1:5] for path in (scripts / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py"))


def config_over(connection: sa.Connection, scripts: Path) -> "Config":
    """Return Alembic's configuration for scripts that work on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _present(db: Database) -> str | None:
    """Return the database's revision; None when it is empty."""
    with db.read() as connection:
        names = sa.inspect(connection).get_table_names()
        if "alembic_version" in names:
            return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())
    if names:
        raise ProjectError(
            f"the metadata database holds tables ({', '.join(sorted(names)[:3])}, ...) and no schema revision",
            hint="it was made by an unreleased version: move the state folder away and apply the project again",
        )
    return None
