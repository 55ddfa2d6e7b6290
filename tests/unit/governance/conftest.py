"""A real metadata database for each test."""

from collections.abc import Iterator

import pytest

import falaj.governance.approvals
import falaj.governance.identity  # noqa: F401  declares its tables
from falaj.kernel.clock import ManualClock
from falaj.storage.metadata.database import Database


@pytest.fixture
def db() -> Iterator[Database]:
    database = Database.memory()
    database.create_all()
    yield database
    database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
