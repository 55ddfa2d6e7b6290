"""A real metadata database for each test."""

import pytest

import falaj.governance.approvals
import falaj.governance.identity  # noqa: F401  declares its tables
from falaj.kernel.clock import ManualClock
from falaj.storage.metadata.database import Database


@pytest.fixture
def db(each_db: Database) -> Database:
    return each_db


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
