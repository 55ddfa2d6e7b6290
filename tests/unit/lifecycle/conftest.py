from collections.abc import Iterator
from pathlib import Path

import pytest

from support.rooms_world import World, definitions, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint and no version."""
    with opened(tmp_path, definitions()) as found:
        yield found
