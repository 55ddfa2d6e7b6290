"""Projects for journeys: what a user has in a folder, made once and copied for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.falaj_project import COMMAND, FalajProject
from support.tour import write_tour
from support.trained import copied, made_once, make_rivals, make_serving


@pytest.fixture(scope="session", autouse=True)
def _command_is_installed() -> None:
    if not COMMAND.exists():
        pytest.fail(f"{COMMAND} does not exist: install the package first (scripts/setup)")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[FalajProject]:
    """The tour's files, and nothing done with them yet."""
    project = FalajProject(tmp_path / "project")
    write_tour(project.folder, rows=2_000)
    yield project
    project.end()


@pytest.fixture
def serving(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """The tour with version 1 in production; nothing runs."""
    with copied(made_once(tmp_path_factory, "serving", make_serving), tmp_path / "project") as project:
        yield project


@pytest.fixture
def running(serving: FalajProject) -> FalajProject:
    """The same, with control and gateway up."""
    return serving.up()


@pytest.fixture
def rivals(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FalajProject]:
    """Version 1 in production, and beside it 2, which is good, and 3, whose code has a fault; nothing runs."""
    start = made_once(tmp_path_factory, "serving", make_serving)
    with copied(made_once(tmp_path_factory, "rivals", make_rivals, start), tmp_path / "project") as project:
        yield project
