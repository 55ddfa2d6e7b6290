"""A PostgreSQL that goes away, comes back, refuses, or is taken by another: what is said, and that nothing is lost."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from falaj.app.metadata import open_metadata
from falaj.app.migrate import migrate
from falaj.governance.access import SYSTEM
from falaj.governance.audit import audited, verify
from falaj.kernel.clock import SystemClock
from falaj.kernel.errors import FalajError, Locked, ProjectError, StorageError
from falaj.kernel.settings import Settings, StorageSettings
from falaj.storage.folder import StateFolder
from falaj.storage.metadata.database import Database
from support.databases import own_schema
from support.postgres_server import PostgresServer, restartable_postgres

PASSWORD = "s3cret"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with restartable_postgres() as running:
        yield running


@pytest.fixture
def db(server: PostgresServer) -> Iterator[Database]:
    database = Database.postgres(server.url)
    with database.write() as connection:
        connection.execute(sa.text("create table note (n bigint primary key)"))
    yield database
    database.close()


def add(db: Database, n: int) -> None:
    with db.write() as connection:
        connection.execute(sa.text("insert into note values (:n)"), {"n": n})


def notes(db: Database) -> set[int]:
    with db.read() as connection:
        return set(connection.execute(sa.text("select n from note")).scalars())


def test_it_is_met_again_after_a_restart(server: PostgresServer, db: Database) -> None:
    add(db, 1)
    server.stop()
    for ask in (lambda: add(db, 2), lambda: notes(db)):
        with pytest.raises(StorageError, match="does not answer") as refused:
            ask()
        assert (refused.value.retryable, "by itself" in refused.value.hint) == (True, True)
    server.start()
    assert notes(db) == {1}  # at the first attempt, on a connection that is new
    add(db, 2)
    assert notes(db) == {1, 2}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_what_was_acknowledged_is_there_after_restarts_under_writers(
    server: PostgresServer, db: Database, number: signal.Signals
) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                add(db, n)
            except StorageError:
                continue  # it may be kept or not: nobody was told that it is
            acknowledged.append(n)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(3):
        seen = len(acknowledged)
        while len(acknowledged) < seen + 20:
            stop.wait(0.01)
        server.stop(number)
        server.start()
    stop.set()
    writer.join()
    assert set(acknowledged) <= notes(db)
    assert len(acknowledged) == len(set(acknowledged))


def test_a_transaction_that_is_cut_off_keeps_nothing(server: PostgresServer, db: Database) -> None:
    with pytest.raises(StorageError), db.write() as connection:
        connection.execute(sa.text("insert into note values (1)"))
        with psycopg.connect(server.url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        connection.execute(sa.text("insert into note values (2)"))
    add(db, 3)
    assert notes(db) == {3}


def test_a_holder_has_the_project_again_after_a_restart(server: PostgresServer) -> None:
    where = own_schema(server.url)
    holder, other = Database.postgres(where), Database.postgres(where)
    holder.hold()
    server.stop()
    assert holder.lost() is None  # nobody can know
    server.start()
    assert holder.lost() is None
    with pytest.raises(Locked):
        other.hold()
    holder.close()
    other.close()


def test_a_holder_learns_that_another_has_the_project(server: PostgresServer) -> None:
    where = own_schema(server.url)
    holder, other = Database.postgres(where), Database.postgres(where)
    holder.hold()
    server.stop()
    server.start()
    other.hold()  # it came first
    assert isinstance(holder.lost(), Locked)
    assert other.lost() is None
    for database in (holder, other):
        database.close()


def test_the_audit_trail_is_sealed_there(server: PostgresServer) -> None:
    db = Database.postgres(own_schema(server.url))
    migrate(db)
    with audited(db, SystemClock(), SYSTEM, "project.apply", "project"):
        pass
    for change in ("UPDATE audit_record SET actor = 'eve'", "DELETE FROM audit_record", "TRUNCATE audit_record"):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), db.write() as connection:
            connection.execute(sa.text(change))
    assert verify(db).records == 1
    db.close()


def refused(url: str, password: str = "") -> FalajError:
    with pytest.raises(FalajError) as caught:
        Database.postgres(url, password)
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"
    return caught.value


def test_what_is_wrong_is_named_with_its_remedy() -> None:
    with restartable_postgres(PASSWORD) as server:
        Database.postgres(server.url, PASSWORD).close()
        assert "FALAJ_STORAGE_DATABASE_PASSWORD" in refused(server.url).hint
        assert "FALAJ_STORAGE_DATABASE_PASSWORD" in refused(server.url, "wr0ng").hint
        assert "create the database" in refused(server.url.replace("/postgres?", "/absent?"), PASSWORD).hint
        lost = refused(f"{server.url}&options=-csearch_path%3Dnowhere", PASSWORD)
        assert "schema" in lost.message
        with psycopg.connect(server.url, password=PASSWORD, autocommit=True) as connection:
            connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
            assert "keeps text as LATIN1" in refused(server.url.replace("/postgres?", "/latin?"), PASSWORD).message
            connection.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        assert "may be written" in refused(server.url, PASSWORD).hint
    assert "server's log" in refused(server.url, PASSWORD).hint
    assert "does not answer" in refused("postgresql://falaj:s3cret@127.0.0.1:1/x").message
    for url in (
        f"mysql://falaj:{PASSWORD}@h/x",
        f"postgresql://falaj:{PASSWORD}@h:port/x",
        f"postgresql://h/?{PASSWORD}=1",
    ):
        assert refused(url).code == "project_invalid"
    settings = StorageSettings(database=f"postgresql://u:{PASSWORD}@h/x", database_password=PASSWORD)
    assert PASSWORD not in repr(Settings(storage=settings))


def test_a_database_belongs_to_one_state_folder(server: PostgresServer, tmp_path: Path) -> None:
    elsewhere = Settings(storage=StorageSettings(database=own_schema(server.url)))

    def opened(name: str, settings: Settings) -> None:
        state = StateFolder(tmp_path / name)
        state.create()
        open_metadata(state, settings, writer=True).close()

    opened("one", elsewhere)
    opened("one", elsewhere)
    with pytest.raises(ProjectError, match="another state folder"):
        opened("two", elsewhere)
    with pytest.raises(ProjectError, match="is in PostgreSQL"):
        opened("one", Settings())
    opened("three", Settings())
    with pytest.raises(ProjectError, match="is in SQLite"):
        opened("three", elsewhere)
