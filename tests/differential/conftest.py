"""A running Feast for all tests of this folder: starting one takes seconds, asking one milliseconds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers.feast_peer import Feast, feast
from peers.make import NotMade, python_of

from support.feast_world import FeastWorld


@pytest.fixture(scope="session")
def running_feast() -> Iterator[Feast]:
    try:
        python = python_of("feast")
    except NotMade as error:
        pytest.skip(str(error))
    with feast(python, timezone="Asia/Dubai") as running:  # what depends on the machine's own zone would show
        yield running


@pytest.fixture
def world(running_feast: Feast, tmp_path: Path) -> Callable[..., FeastWorld]:
    """Make a view in Feast and in ours; the latest made is the one that Feast answers for."""

    def make(*rows: dict[str, Any], **words: Any) -> FeastWorld:
        return FeastWorld(running_feast, tmp_path, rows, **words)

    return make
