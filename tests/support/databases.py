"""Metadata databases of every kind, each empty: one suite runs over a file and over a real server."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import psycopg
import pytest

from falaj.storage.metadata.database import Database
from support.postgres_server import postgres_server

KINDS = ("sqlite", "postgres")
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The address of a server that is started once, when first asked for."""
    with postgres_server() as url:
        yield url


def own_schema(url: str) -> str:
    """Make an empty schema on the server, and return the address under which it is the one that is used."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{url}&options={quote(f'-csearch_path={name}')}"


@contextmanager
def empty_database(kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Give a database of a kind without tables."""
    with ExitStack() as closing:
        if kind == "sqlite":
            database = Database.memory()
        else:
            database = Database.postgres(own_schema(request.getfixturevalue("postgres_url")))
        closing.callback(database.close)
        yield database


@pytest.fixture(params=KINDS)
def each_db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of each kind, with every table that the test has imported."""
    with empty_database(request.param, request) as database:
        database.create_all()
        yield database
