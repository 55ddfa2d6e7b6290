"""What a job on Ray finds in its folder: taken once, and not at all when it was withdrawn."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from falaj.pipelines.child import ChildRequest
from falaj.pipelines.ray.assignment import NOT_SHARED, WITHDRAWN, Assignment, AssignmentFolder


def an_assignment(project: str | None = None) -> Assignment:
    request = ChildRequest(
        function="m:f",
        run_id="run_1",
        step="a",
        attempt=1,
        params={},
        inputs={},
        folder="",
        checkpoint="",
        files={},
        result_file="",
        progress_file="",
    )
    return Assignment(key="key", request=request, project=project)


def test_it_is_taken_once_however_many_try(tmp_path: Path) -> None:
    folder = AssignmentFolder(tmp_path / "job")
    folder.give(an_assignment())
    assert not folder.is_taken()
    with ThreadPoolExecutor(8) as pool:
        took = list(pool.map(folder.take, [1700000000.25] * 8))
    assert [one for one in took if one is not None] == [an_assignment()]
    assert (folder.is_taken(), folder.began(), folder.given()) == (True, 1700000000.25, an_assignment())


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = AssignmentFolder(tmp_path / "job")
    folder.give(an_assignment())
    assert {oct(file.stat().st_mode & 0o777) for file in folder.path.iterdir()} == {"0o600"}
    assert oct(folder.path.stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_withdrawn_is_there_no_more(tmp_path: Path, *, begun: bool) -> None:
    folder = AssignmentFolder(tmp_path / "job")
    folder.give(an_assignment())
    if begun:
        folder.take(1.0)
    folder.withdraw()
    assert (folder.is_taken(), folder.given(), folder.take(2.0)) == (False, None, None)
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_a_log_is_copied_on_from_where_the_last_worker_was(tmp_path: Path) -> None:
    job, log = tmp_path / "job", tmp_path / "step.log"
    AssignmentFolder(job).copy_log(log)
    assert not log.exists()
    job.mkdir()
    for text in ("one\n", "", "two\nthr", "ee\n"):
        with (job / "log.txt").open("a") as said:
            said.write(text)
        AssignmentFolder(job).copy_log(log)
    assert log.read_text() == "one\ntwo\nthree\n"


def test_a_log_is_copied_on_though_a_worker_died_while_it_noted_how_far_it_was(tmp_path: Path) -> None:
    job, log = tmp_path / "job", tmp_path / "step.log"
    job.mkdir()
    (job / "log.txt").write_text("one\n")
    (job / "log.copied").touch()
    AssignmentFolder(job).copy_log(log)
    AssignmentFolder(job).copy_log(log)
    assert log.read_text() == "one\n"


def test_one_that_a_power_cut_left_empty_is_given_anew(tmp_path: Path) -> None:
    folder = AssignmentFolder(tmp_path / "job")
    folder.give(an_assignment())
    (folder.path / "assignment.json").write_bytes(b"")
    assert folder.given() is None
    folder.give(an_assignment())
    assert folder.take(1.0) == an_assignment()


def test_a_folder_that_cannot_be_looked_at_is_not_a_withdrawn_one(tmp_path: Path) -> None:
    folder = AssignmentFolder(tmp_path / "job")
    folder.give(an_assignment())
    folder.take(1.0)
    # A name that leads in a circle, as a name on a server that is away: something is wrong, and nothing was withdrawn.
    folder.path.rename(tmp_path / "elsewhere")
    folder.path.symlink_to(folder.path)
    with pytest.raises(OSError, match="symbolic links"):
        folder.is_taken()


@pytest.mark.parametrize(
    ("made", "project", "status", "said"),
    [
        (False, None, NOT_SHARED, "jobs is not on this node"),
        (True, "/nowhere/project", NOT_SHARED, "the project's folder /nowhere/project is not on this node"),
        (True, None, WITHDRAWN, "has nothing to do any more"),
    ],
)
def test_a_job_that_finds_nothing_says_what_it_lacks(
    tmp_path: Path, *, made: bool, project: str | None, status: int, said: str
) -> None:
    folder = AssignmentFolder(tmp_path / "jobs" / "job")
    if made:
        folder.give(an_assignment(project))
        if project is None:
            folder.withdraw()
    command = [sys.executable, "-m", "falaj.pipelines.ray.child", str(folder.path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stderr.strip().endswith(said)) == (status, True)
    assert not folder.is_taken()
