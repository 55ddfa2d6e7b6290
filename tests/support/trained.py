"""Projects in which something was trained: made once a session, copied for each test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.falaj_project import FalajProject
from support.tour import write_tour

OFFICER = "officer"


def train_and_approve(project: FalajProject, version: int) -> None:
    """Train the next version of the model and have the officer approve it."""
    assert project.json("train", "fraud")["version"] == version
    project.falaj("approve", "fraud", str(version), token=officer(project))


def officer(project: FalajProject) -> str:
    """The token of the second named actor, who approves."""
    file = project.folder / "officer.token"
    if not file.exists():
        file.write_text(project.token(OFFICER, "approver"))
    return file.read_text()


def make_serving(project: FalajProject) -> None:
    """The tour up to its first version in production."""
    write_tour(project.folder)
    project.falaj("apply")
    train_and_approve(project, 1)
    assert project.json("deploy", "fraud")["state"] == "serves"


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[FalajProject], None], start: FalajProject | None = None
) -> FalajProject:
    """Return the session's project of a name, made when first asked for."""
    folder = factory.getbasetemp() / f"project-{name}"
    done = folder.with_suffix(".done")
    if done.exists():
        return FalajProject(folder)
    project = start.copy_to(folder) if start else FalajProject(folder)
    make(project)
    done.touch()
    return project


@contextmanager
def copied(project: FalajProject, folder: Path) -> Iterator[FalajProject]:
    """A copy that is stopped at the end."""
    copy = project.copy_to(folder)
    try:
        yield copy
    finally:
        copy.end()
