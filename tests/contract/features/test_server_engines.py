"""What only an engine outside of this process can do wrong: leave something behind, or read rows twice."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from falaj.features.engines.postgres import PostgresEngine
from falaj.features.engines.spark import files_of
from falaj.features.offline import training_frame
from falaj.kernel.errors import DataError
from falaj.storage.tables.delta import DeltaTables
from support.feature_worlds import INSTANT, make_service, row, table
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
