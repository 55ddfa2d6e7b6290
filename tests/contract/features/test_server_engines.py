"""What only an engine outside of this process can do wrong: leave something behind, or read rows twice."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from psycopg import sql

from falaj.definitions.aggregation import count, last
from falaj.features.engines.postgres import PostgresEngine
from falaj.features.engines.spark import files_of
from falaj.features.offline import training_frame
from falaj.kernel.errors import DataError
from falaj.storage.tables.delta import DeltaTables
from support.feature_worlds import INSTANT, World, check, make_service, row, table
from support.postgres_server import postgres_server

FRAME = pa.table({"a": ["1"], "event_timestamp": pa.array([5], INSTANT)})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres_server() as found:
        yield found


def test_postgres_is_left_as_it_was(url: str) -> None:
    given = {"tx": table([row("e", at=1, amount=2.0)])}
    for _ in range(2):
        assert training_frame(make_service(), FRAME, given, engine=PostgresEngine(url))["v__spent_10"].to_pylist() == [
            2
        ]
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relname IN ('asked', 'events')").fetchall()
    assert tables == []


def test_what_postgres_cannot_hold_is_said(url: str) -> None:
    engine = PostgresEngine(url)
    with pytest.raises(DataError, match="PostgreSQL refuses a value"):
        training_frame(make_service(), FRAME, {"tx": table([row("e\0", at=1)])}, engine=engine)
    huge = table([row("e", at=1, amount=1.5e308), row("f", at=2, amount=1.5e308)])
    with pytest.raises(DataError, match="out of range"):
        training_frame(make_service(), FRAME, {"tx": huge}, engine=engine)


def test_spark_reads_the_files_of_a_table_itself(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.append("source/tx", table([row("e", at=1)]))
    stored = tables.read("source/tx")
    (file,) = files_of(stored)
    assert Path(file.removeprefix("file://")).is_file()
    assert files_of(stored.filter(ds.field("a") == "1")) == []
    assert files_of(stored.to_table()) == []
    odd = DeltaTables(tmp_path / "runs[1]")
    odd.append("source/tx", table([row("e", at=1)]))
    assert files_of(odd.read("source/tx")) == [], "Spark would take the path for a pattern"


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_settings_and_encodings_of_the_server_change_no_answer(encoding: str) -> None:
    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            create = sql.SQL("CREATE DATABASE there ENCODING {} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
            connection.execute(create.format(encoding))
            connection.execute("ALTER ROLE falaj SET extra_float_digits = -15")
            connection.execute("ALTER ROLE falaj SET standard_conforming_strings = off")
        engine = PostgresEngine(url.replace("/postgres?", "/there?"))
        count_of = count(window="9us", where="country = 'a\\b'")
        spec = make_service(country=last("country"), amount=last("amount"), n=count_of)
        rows = [row("1", 1, country="a\\b"), row("2", 2, country="\u00e9", amount=0.1234567890123456)]
        check(World(spec, rows, [], [({"a": "1"}, 9)]), engine)
