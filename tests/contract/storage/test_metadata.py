"""The metadata database, in a file and on a real server: isolation, turns, and what is refused."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from falaj.kernel.errors import Conflict, InputError, Locked, StorageError
from falaj.storage.metadata.database import Database
from support.databases import KINDS, empty_database, own_schema

ADD_MANY = """
import sys
from pathlib import Path
from sqlalchemy import text
from falaj.storage.metadata.database import Database
kind, where = sys.argv[1:]
database = Database.sqlite(Path(where)) if kind == "sqlite" else Database.postgres(where)
for _ in range(25):
    with database.write() as connection:
        connection.execute(text("create table if not exists counter (n integer)"))
        n = connection.execute(text("select coalesce(max(n), 0) from counter")).scalar_one()
        connection.execute(text("insert into counter values (:n)"), {"n": n + 1})
database.close()
"""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database(kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    with empty_database(kind, request) as made:
        with made.write() as connection:
            connection.execute(text("create table note (n integer primary key)"))
        yield made


def count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(text("select count(*) from note")).scalar_one())


def add(database: Database, n: int) -> None:
    with database.write() as connection:
        connection.execute(text("insert into note values (:n)"), {"n": n})


def test_a_failed_write_keeps_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(text("insert into note values (1)"))
        connection.execute(text("create table other (x integer)"))
        _ = 1 / 0
    assert count(database) == 0
    with pytest.raises((OperationalError, ProgrammingError), match="other"), database.read() as connection:
        connection.execute(text("select x from other"))


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
    with pytest.raises((StorageError, OperationalError), match=r"read-?only"), database.read() as connection:
        connection.execute(text("insert into note values (1)"))
    assert count(database) == 0


def test_a_write_within_a_write_is_refused_instead_of_waiting_for_itself(database: Database) -> None:
    with pytest.raises(Conflict, match="already"), database.write(), database.write():
        pass
    add(database, 1)
    assert count(database) == 1


def test_a_writer_sees_all_that_was_committed_while_it_waited(database: Database) -> None:
    """Otherwise it would act on what is so no more, or be refused by the server and have to begin again."""
    began = threading.Event()

    def waits() -> None:
        began.set()
        with database.write() as connection:
            n = connection.execute(text("select max(n) from note")).scalar_one()
            connection.execute(text("insert into note values (:n)"), {"n": n + 1})

    waiting = threading.Thread(target=waits)
    with database.write() as connection:
        waiting.start()
        began.wait()
        connection.execute(text("insert into note values (7)"))
    waiting.join()
    with database.read() as connection:
        assert connection.execute(text("select n from note order by n")).scalars().all() == [7, 8]


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


def test_processes_take_turns_from_the_first_moment(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    where = str(tmp_path / "falaj.db") if kind == "sqlite" else own_schema(request.getfixturevalue("postgres_url"))
    running = [subprocess.Popen([sys.executable, "-c", ADD_MANY, kind, where]) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    database = Database.sqlite(Path(where)) if kind == "sqlite" else Database.postgres(where)
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
    add(database, 1)
    assert count(database) == 1


def test_databases_are_apart(kind: str, request: pytest.FixtureRequest) -> None:
    tables = MetaData()
    note = Table("note", tables, Column("n", Integer))
    with empty_database(kind, request) as one, empty_database(kind, request) as two:
        one.create_all(tables)
        with one.write() as writer:
            writer.execute(note.insert().values(n=1))
            with one.read() as reader:
                assert reader.execute(select(note)).all() == []
            with two.write():  # the turn of one project's writers is not that of another's
                pass
        with one.read() as reader:
            assert reader.execute(select(note.c.n)).scalars().all() == [1]
        with pytest.raises((OperationalError, ProgrammingError), match="note"), two.read() as reader:
            reader.execute(select(note))


def test_texts_come_back_as_they_went(database: Database) -> None:
    tables = MetaData()
    words = Table("words", tables, Column("n", Integer, primary_key=True), Column("body", Text))
    said = ["", "ظعاً", "a\nb\t'\"\\", "\U0001f335" * 3, "%s %(x)s :x", "\u2028"]
    database.create_all(tables)
    with database.write() as connection:
        connection.execute(words.insert(), [{"n": n, "body": body} for n, body in enumerate(said)])
    with database.read() as connection:
        assert connection.execute(select(words.c.body).order_by(words.c.n)).scalars().all() == said


def test_each_database_has_one_process_that_changes_the_project(postgres_url: str) -> None:
    where = own_schema(postgres_url)
    one, two, other = Database.postgres(where), Database.postgres(where), Database.postgres(own_schema(postgres_url))
    one.hold()
    other.hold()  # a project of its own
    with pytest.raises(Locked, match=f"held by falaj .* process {os.getpid()} on"):
        two.hold()
    assert one.lost() is None
    one.close()
    two.hold()
    for database in (two, other):
        database.close()


def test_a_value_that_a_server_cannot_keep_is_refused_in_a_sentence(postgres_url: str) -> None:
    database = Database.postgres(own_schema(postgres_url))
    with database.write() as connection:
        connection.execute(text("create table words (body text)"))
    with pytest.raises(InputError, match="cannot keep"), database.write() as connection:
        connection.execute(text("insert into words values (:body)"), {"body": "a\0b"})
    database.close()


def test_what_is_not_flushed_is_there_for_everybody_at_once(database: Database) -> None:
    with database.write(flush=False) as connection:
        connection.execute(text("insert into note values (1)"))
    assert count(database) == 1
    with pytest.raises(ZeroDivisionError), database.write(flush=False) as connection:
        connection.execute(text("insert into note values (2)"))
        _ = 1 / 0
    with database.write(flush=False), pytest.raises(Conflict, match="already being written"), database.write():
        pass
    add(database, 2)
    assert count(database) == 2
