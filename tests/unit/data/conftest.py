"""The data room on real stores for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.data_room import DataRoom


@pytest.fixture
def room(tmp_path: Path) -> Iterator[DataRoom]:
    """In-memory tables and log, a real SQL database; the project is `tmp_path`."""
    made = DataRoom.in_memory(tmp_path)
    yield made
    made.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[DataRoom]:
    """Everything as it is on a disk; the project is `tmp_path`."""
    made = DataRoom.embedded(tmp_path / ".falaj", tmp_path)
    yield made
    made.close()
