"""A real database, real blobs and a worker for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.kernel.clock import SystemClock
from falaj.storage.metadata.database import Database
from unit.pipelines.worker_bench import Bench


@pytest.fixture
def bench(each_db: Database, tmp_path: Path) -> Bench:
    return Bench(each_db, tmp_path, SystemClock())


@pytest.fixture
def sqlite_bench(tmp_path: Path) -> Iterator[Bench]:
    """For properties, which try many runs and need no server."""
    database = Database.memory()
    database.create_all()
    yield Bench(database, tmp_path, SystemClock())
    database.close()
