"""A real database, real blobs and a worker for each test."""

from pathlib import Path

import pytest

from falaj.kernel.clock import SystemClock
from falaj.storage.metadata.database import Database
from unit.pipelines.worker_bench import Bench


@pytest.fixture
def bench(each_db: Database, tmp_path: Path) -> Bench:
    return Bench(each_db, tmp_path, SystemClock())
