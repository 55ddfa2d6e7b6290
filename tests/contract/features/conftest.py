"""Every engine that this project runs, one after the other, each started once per module."""

import shutil
from collections.abc import Iterator

import pytest

from falaj.features.engines.duckdb import DuckDbEngine
from falaj.features.engines.port import Engine
from falaj.features.engines.postgres import PostgresEngine
from falaj.features.engines.spark import SparkEngine
from support.postgres_server import postgres_server


@pytest.fixture(scope="module", params=["duckdb", "postgres", "spark"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "duckdb":
        yield DuckDbEngine()
    elif request.param == "postgres":
        with postgres_server() as url:
            yield PostgresEngine(url)
    else:
        if shutil.which("java") is None:
            pytest.skip("Java is not installed")
        yield from spark()


def spark() -> Iterator[Engine]:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.codegen.wholeStage", "false")  # compiling a statement takes longer than its few rows
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield SparkEngine()
    session.stop()
