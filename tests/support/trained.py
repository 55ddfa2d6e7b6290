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


BUGGY = """\
def amount_ratio(amount, amount_mean_7d):
    if np.any(amount == 66_666.0):
        raise ValueError("this amount was never tried")
    if np.any(amount == 77_777.0):
        np.linalg.svd(np.random.default_rng(0).normal(size=(180, 180)))
    return amount / np.maximum(amount_mean_7d, 1.0)
"""
"""An on-demand function that is right on all history, fails at one amount and dawdles at another."""

FAILS_AT, DAWDLES_AT = 66_666.0, 77_777.0


def make_rivals(project: FalajProject) -> None:
    """Beside version 1 in production: 2, which is good, and 3, whose code has a fault; both approved."""
    project.edit("fraud.py", "num_trees=40", "num_trees=45")
    project.falaj("apply")
    train_and_approve(project, 2)
    function = "def amount_ratio(amount, amount_mean_7d):\n    return amount / np.maximum(amount_mean_7d, 1.0)\n"
    project.edit("fraud.py", function, BUGGY)
    project.falaj("apply")
    train_and_approve(project, 3)
    project.edit("fraud.py", BUGGY, function)
    project.falaj("apply")
