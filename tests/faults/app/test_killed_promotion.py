"""kill -9 at every write of an approval's wait and of a promotion: the next process brings it to its end, once."""

import itertools
import multiprocessing
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from support.killed_promotion import die_at, go_on, prepare

_NUMBERS = itertools.count(1)
PROCESSES = multiprocessing.get_context("forkserver")


class Copies:
    """A project that is half-way, and as many copies of it as there are deaths.

    Args:
        place: A folder of its own.
        server: The address of a server; empty for SQLite.
    """

    def __init__(self, place: Path, server: str) -> None:
        self._place = place
        self._server = server
        self._first = f"half_way_{next(_NUMBERS)}"
        self._database("CREATE", self._first)
        prepare(place / self._first, self._url(self._first))

    @contextmanager
    def copied(self) -> Iterator[tuple[Path, str]]:
        """Give the folder and the database's address of a copy, which is gone afterwards."""
        name = f"copy_{next(_NUMBERS)}"
        shutil.copytree(self._place / self._first, self._place / name)
        self._database("CREATE", name, f"TEMPLATE {self._first}")
        yield self._place / name, self._url(name)
        self._database("DROP", name)
        shutil.rmtree(self._place / name)

    def _url(self, name: str) -> str:
        return urlsplit(self._server)._replace(path=f"/{name}").geturl() if self._server else ""

    def _database(self, act: str, name: str, of: str = "") -> None:
        if self._server:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(f"{act} DATABASE {name} {of}".encode())


@pytest.mark.parametrize("committing", [False, True], ids=["before", "uncommitted"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_killed_promotion_ends_right_and_once(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, *, committing: bool
) -> None:
    server = "" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    copies = Copies(tmp_path, server)
    PROCESSES.set_forkserver_preload(["support.killed_promotion"])
    deaths, ended = 0, None
    while ended != 0:
        with copies.copied() as (folder, database):
            process = PROCESSES.Process(target=die_at, args=(str(folder), database, deaths, committing))
            process.start()
            process.join(60)
            ended = process.exitcode
            assert ended in (0, -signal.SIGKILL)
            go_on(folder, database)
        deaths += 1
    assert deaths > 8
