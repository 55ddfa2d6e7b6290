"""The metadata database comes to this release's schema, whole or not at all."""

import io
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from falaj.app import tables
from falaj.app.migrate import SCRIPTS, migrate, revisions
from falaj.data.dataset import Request
from falaj.data.datasets import Datasets
from falaj.governance.access import SYSTEM
from falaj.governance.audit import audited
from falaj.kernel.clock import SystemClock
from falaj.kernel.errors import ProjectError
from falaj.pipelines.tables import STEP
from falaj.storage.blobs.memory import MemoryBlobs
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

SOURCE = Path(__file__).parents[3] / "src"
NEWEST = revisions(SCRIPTS)[-1]
NEXT = f"{int(NEWEST) + 1:04}"
FURTHER = '''"""One revision more."""

import os
import signal

import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{newest}"


def upgrade() -> None:
    """Make two tables, and {what} between them."""
    op.create_table("first_half", sa.Column("id", sa.Integer, primary_key=True))
    {do}
    op.create_table("second_half", sa.Column("id", sa.Integer, primary_key=True))
'''
DIE_AT = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from falaj.app.migrate import migrate
from falaj.storage.metadata.database import Database

db, left = Database.sqlite(Path(sys.argv[1])), [int(sys.argv[2])]

@event.listens_for(Engine, "after_cursor_execute")
def count(_connection, _cursor, statement, *_rest):
    if statement.lstrip().upper().startswith(("CREATE", "INSERT")):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

migrate(db, *map(Path, sys.argv[3:]))
"""


def ddl(db: Database) -> dict[str, str]:
    """Return what the database says it is made of, but for Alembic's own table."""
    with db.read() as connection:
        rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master")).all()
    # a table that was made anew has its name in quotes, one that got a column another space before it
    return {
        row.name: re.sub(r"\s+", " ", re.sub(r"\s*([,()])\s*", r"\1", row.sql or "")).replace('"', "")
        for row in rows
        if "alembic_version" not in row.name
    }


def revision_of(db: Database) -> str | None:
    with db.read() as connection:
        if "alembic_version" not in sa.inspect(connection).get_table_names():
            return None
        return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())


def with_further(folder: Path, what: str, do: str) -> Path:
    """Return a copy of the scripts that has one revision more."""
    scripts = folder / f"scripts-{what}"
    shutil.copytree(SCRIPTS, scripts)
    text = FURTHER.format(what=what, do=do, next=NEXT, newest=NEWEST)
    (scripts / "versions" / f"r{NEXT}_further.py").write_text(text)
    return scripts


def test_every_declared_table_is_listed() -> None:
    declared = sum(len(re.findall(r"= sa\.Table\(", path.read_text("utf-8"))) for path in SOURCE.rglob("*.py"))
    assert len(tables.ALL) == declared
    assert set(tables.ALL) == set(metadata.tables.values())


def test_a_migrated_database_is_what_the_rooms_declare() -> None:
    migrated, declared = Database.memory(), Database.memory()
    migrate(migrated)
    declared.create_all()
    assert ddl(migrated) == ddl(declared)
    with migrated.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    migrated.close()
    declared.close()


def test_revisions_are_known_by_their_files() -> None:
    scripts = ScriptDirectory(str(SCRIPTS))
    known = [script.revision for script in scripts.walk_revisions()]
    assert revisions(SCRIPTS) == sorted(known)
    assert scripts.get_current_head() == revisions(SCRIPTS)[-1]


def test_a_second_start_loads_no_migrations(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "falaj.db")
    migrate(db)
    before = ddl(db)
    db.close()
    program = (
        "import sys; from pathlib import Path; from falaj.app.migrate import migrate; "
        "from falaj.storage.metadata.database import Database; "
        "migrate(Database.sqlite(Path(sys.argv[1]))); print('alembic' in sys.modules, 'pyarrow' in sys.modules)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "falaj.db")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE)})
    assert done.stdout.split() == ["False", "False"]
    again = Database.sqlite(tmp_path / "falaj.db")
    migrate(again)
    assert ddl(again) == before
    again.close()


def test_audit_records_are_sealed() -> None:
    db = Database.memory()
    migrate(db)
    with audited(db, SystemClock(), SYSTEM, "project.apply", "project"):
        pass
    for change in ("UPDATE audit_record SET actor = 'eve'", "DELETE FROM audit_record"):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), db.write() as connection:
            connection.execute(sa.text(change))
    db.close()


def test_a_newer_database_is_refused() -> None:
    db = Database.memory()
    migrate(db)
    with db.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    before = ddl(db)
    with pytest.raises(ProjectError, match="revision 9999") as refused:
        migrate(db)
    assert "newer" in refused.value.hint
    assert (revision_of(db), ddl(db)) == ("9999", before)
    db.close()


def test_a_database_of_no_release_is_refused() -> None:
    db = Database.memory()
    db.create_all()
    with pytest.raises(ProjectError, match="no schema revision"):
        migrate(db)
    db.close()


@pytest.mark.parametrize("statement", [1, 7, 40])
def test_a_kill_leaves_the_database_as_it_was(tmp_path: Path, statement: int) -> None:
    words = [sys.executable, "-c", DIE_AT, str(tmp_path / "falaj.db"), str(statement)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(SOURCE)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    db = Database.sqlite(tmp_path / "falaj.db")
    assert (revision_of(db), ddl(db)) == (None, {})
    migrate(db)
    assert revision_of(db) == revisions(SCRIPTS)[-1]
    db.close()


def test_a_kill_between_two_revisions_leaves_the_older_one(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "falaj.db")
    migrate(db)
    before = ddl(db)
    scripts = with_further(tmp_path, "die", "os.kill(os.getpid(), signal.SIGKILL)")
    words = [sys.executable, "-c", DIE_AT, str(tmp_path / "falaj.db"), "1000", str(scripts)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(SOURCE)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (revision_of(db), ddl(db)) == (NEWEST, before)
    migrate(db, with_further(tmp_path, "pass", "pass"))
    assert revision_of(db) == NEXT
    assert set(ddl(db)) - set(before) == {"first_half", "second_half"}
    with pytest.raises(ProjectError, match=f"revision {NEXT}"):
        migrate(db)  # by this release, which has no such revision
    db.close()


def test_a_revision_that_fails_leaves_the_older_one(tmp_path: Path) -> None:
    db = Database.sqlite(tmp_path / "falaj.db")
    migrate(db)
    before = ddl(db)
    with pytest.raises(ZeroDivisionError):
        migrate(db, with_further(tmp_path, "fail", "1 / 0"))
    assert (revision_of(db), ddl(db)) == (NEWEST, before)
    db.close()


def test_datasets_of_before_are_kept(tmp_path: Path) -> None:
    first = tmp_path / "first"
    shutil.copytree(SCRIPTS, first)
    for path in (first / "versions").glob("r000[2-9]*"):
        path.unlink()
    db = Database.sqlite(tmp_path / "falaj.db")
    migrate(db, first)
    columns = "digest, name, content, blob, rows, columns, size_bytes, split, spec_digest, inputs, created, created_by"
    values = "'d', 'fraud', 'c', 'b', 1, '{}', 1, '{}', 's', '{}', 1, 'ada'"
    with db.write() as connection:
        connection.execute(sa.text(f"INSERT INTO dataset ({columns}) VALUES ({values})"))  # noqa: S608
    migrate(db)
    (dataset,) = Datasets(MemoryBlobs(), db, SystemClock()).list()
    assert (dataset.digest, dataset.engine, dataset.request) == ("d", "duckdb", Request("", {}))
    db.close()


def test_a_run_of_before_goes_on_to_its_end(tmp_path: Path) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__", "r000[6-9]*", "r00[1-9]*"))
    db = Database.memory()
    migrate(db, scripts)
    step = (
        "INSERT INTO step (run_id, name, position, spec, state, waiting, not_before, created, failures, crashes, "
        "epoch, progress, progress_text, cached, outputs) "
        "VALUES ('r', :name, 0, :spec, 'PENDING', 0, 0, 0, 0, 0, 0, 0, '', 0, '{}')"
    )
    with db.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO run (id, pipeline, params, reason, actor, state, created, cancel_requested) "
                "VALUES ('r', 'p', '{}', '', 'ada', 'PENDING', 0, 0)"
            )
        )
        for name, needs in (("a", "[]"), ("b", '["a"]'), ("c", '["a", "b"]')):
            spec = f'{{"name": "{name}", "function": "m:f", "needs": {needs}, "executor": "child"}}'
            connection.execute(sa.text(step), {"name": name, "spec": spec})
    migrate(db)
    with db.read() as connection:
        rows = connection.execute(sa.select(STEP.c.executor, STEP.c.dependents).order_by(STEP.c.name)).all()
    assert [tuple(row) for row in rows] == [("child", ["b", "c"]), ("child", ["c"]), ("child", [])]
    db.close()


def test_the_same_scripts_speak_postgresql() -> None:
    text = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": text, "literal_binds": True}
    )
    with Operations.context(context):
        for script in reversed(list(ScriptDirectory(str(SCRIPTS)).walk_revisions())):
            module: ModuleType = script.module
            module.upgrade()
    written = text.getvalue()
    assert set(re.findall(r"CREATE TABLE (\w+)", written)) == {table.name for table in tables.ALL}
    assert "CREATE UNIQUE INDEX run_one_active ON run (dedup_key) WHERE ended IS NULL" in written
    assert "TRIGGER audit_record_sealed" in written
    assert "RAISE(ABORT" not in written
