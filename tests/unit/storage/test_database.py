"""The metadata database: isolation, waiting, and what it says when the file is bad."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from falaj.kernel.errors import Conflict, CorruptionError, StorageError
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

ADD_MANY = """
import sys
from pathlib import Path
from sqlalchemy import text
from falaj.storage.metadata.database import Database
database = Database.sqlite(Path(sys.argv[1]))
for _ in range(25):
    with database.write() as connection:
        connection.execute(text("create table if not exists counter (n integer)"))
        n = connection.execute(text("select coalesce(max(n), 0) from counter")).scalar_one()
        connection.execute(text("insert into counter values (:n)"), {"n": n + 1})
database.close()
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.sqlite(tmp_path / "falaj.db")
    with made.write() as connection:
        connection.execute(text("create table note (n integer primary key)"))
    yield made
    made.close()


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("select count(*) from note")).scalar_one())


def add(database: Database, n: int) -> None:
    with database.write() as connection:
        connection.execute(text("insert into note values (:n)"), {"n": n})


def test_it_is_durable_and_strict(database: Database, tmp_path: Path) -> None:
    for open_ in (database.read, database.write):
        with open_() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 30_000
    assert (tmp_path / "falaj.db-wal").exists()


def test_a_failed_write_keeps_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(text("insert into note values (1)"))
        connection.execute(text("create table other (x)"))
        _ = 1 / 0
    assert count(database) == 0
    with database.read() as connection:
        assert connection.execute(text("select count(*) from sqlite_master")).scalar_one() == 1


def test_a_reader_sees_one_snapshot_and_never_waits(database: Database) -> None:
    add(database, 1)
    with database.read() as reader:
        assert reader.execute(text("select count(*) from note")).scalar_one() == 1
        add(database, 2)
        assert reader.execute(text("select count(*) from note")).scalar_one() == 1
        with database.write() as writer:
            writer.execute(text("insert into note values (3)"))
            assert count(database) == 2
    assert count(database) == 3


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises((StorageError, OperationalError), match="readonly"), database.read() as connection:
        connection.execute(text("insert into note values (1)"))
    assert count(database) == 0


def test_the_write_lock_is_taken_at_the_beginning(database: Database, tmp_path: Path) -> None:
    with database.write():
        other = sqlite3.connect(tmp_path / "falaj.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_write_within_a_write_is_refused_instead_of_waiting_for_itself(database: Database) -> None:
    with pytest.raises(Conflict, match="already"), database.write(), database.write():
        pass
    add(database, 1)
    assert count(database) == 1


def test_threads_take_turns(database: Database) -> None:
    def work() -> None:
        for _ in range(10):
            with database.write() as connection:
                n = connection.execute(text("select coalesce(max(n), 0) from note")).scalar_one()
                connection.execute(text("insert into note values (:n)"), {"n": n + 1})

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 60


def test_processes_take_turns_from_the_first_moment(tmp_path: Path) -> None:
    path = str(tmp_path / "falaj.db")
    running = [subprocess.Popen([sys.executable, "-c", ADD_MANY, path]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    database = Database.sqlite(Path(path))
    with database.read() as connection:
        numbers = connection.execute(text("select n from counter order by n")).scalars().all()
    database.check()
    database.close()
    assert numbers == list(range(1, 76))


def test_broken_references_are_the_callers_to_see(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("create table child (n integer references note(n))"))
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(text("insert into child values (99)"))


def test_memory_databases_are_apart_and_isolate_like_files() -> None:
    one, two = Database.memory(), Database.memory()
    tables = MetaData()
    note = Table("note", tables, Column("n", Integer))
    one.create_all(tables)
    with one.write() as writer:
        writer.execute(note.insert().values(n=1))
        with one.read() as reader:
            assert reader.execute(select(note)).all() == []
    with one.read() as reader:
        assert reader.execute(select(note.c.n)).scalars().all() == [1]
    with pytest.raises(OperationalError, match="no such table"), two.read() as reader:
        reader.execute(select(note))
    one.close()
    two.close()


def test_constraints_have_names() -> None:
    tables = MetaData(naming_convention=metadata.naming_convention)
    Table("parent", tables, Column("id", Integer, primary_key=True))
    child = Table(
        "child", tables, Column("parent_id", ForeignKey("parent.id"), unique=True), CheckConstraint("1", name="one")
    )
    assert {str(constraint.name) for constraint in child.constraints} >= {
        "fk_child_parent_id_parent",
        "uq_child_parent_id",
        "ck_child_one",
    }
    assert Index(None, child.c.parent_id).name == "ix_child_parent_id"


def test_what_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "falaj.db"
    path.write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(CorruptionError, match=r"falaj\.db"):
        Database.sqlite(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        Database.sqlite(tmp_path / "absent" / "falaj.db")


def test_a_damaged_page_is_found_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "falaj.db"
    database = Database.sqlite(path)
    with database.write() as connection:
        connection.execute(text("create table note (body text)"))
        connection.execute(text("create index note_body on note (body)"))
        connection.execute(
            text(
                "with recursive s(n) as (select 1 union all select n + 1 from s where n < 500)"
                " insert into note select hex(randomblob(50)) from s"
            )
        )
    database.check()
    database.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = bytes(range(256)) * 16
    path.write_bytes(bytes(content))
    damaged = Database.sqlite(path)
    with pytest.raises(CorruptionError, match=r"falaj\.db"):
        damaged.check()
    damaged.close()
