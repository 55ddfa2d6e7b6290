"""The metadata database: isolation, waiting, and what it says when the file is bad."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, MetaData, Table, text

from falaj.kernel.errors import CorruptionError, StorageError
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database.sqlite(tmp_path / "falaj.db")
    with made.write() as connection:
        connection.execute(text("create table note (n integer primary key)"))
    yield made
    made.close()


def test_it_is_durable_and_strict(database: Database, tmp_path: Path) -> None:
    for open_ in (database.read, database.write):
        with open_() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 30_000
    assert (tmp_path / "falaj.db-wal").exists()


def test_the_write_lock_is_taken_at_the_beginning(database: Database, tmp_path: Path) -> None:
    with database.write():
        other = sqlite3.connect(tmp_path / "falaj.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


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
