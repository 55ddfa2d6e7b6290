"""Where steps and notebooks log: the commit they ran at, and whose word counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from falaj.kernel.settings import Settings
from falaj.lifecycle.step_tracking import capture_notebook, git_commit
from falaj.models.mlflow_capture import RUN_TAG, capture_environment, may_capture
from falaj.models.mlflow_reading import logged_runs


def git(folder: Path, *words: str) -> str:
    """Carry out a command of git in a folder."""
    own = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_read_as_git_tells_it(tmp_path: Path) -> None:
    inner = tmp_path / "repo" / "shop"
    inner.mkdir(parents=True)
    assert git_commit(inner) == ""
    git(tmp_path / "repo", "init", "-q")
    assert git_commit(inner) == ""
    (inner / "a.py").write_text("1")
    git(inner, "add", ".")
    git(inner, "commit", "-qm", "one")
    wanted = git(inner, "rev-parse", "HEAD")
    assert git_commit(inner) == wanted
    git(inner, "pack-refs", "--all")
    assert git_commit(inner) == wanted
    git(inner, "checkout", "-q", "--detach")
    assert git_commit(inner) == wanted


def test_a_notebook_follows_the_project_opened_last_and_never_what_others_have_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "_MLFLOW_")):
            monkeypatch.delenv(name)
    own = capture_environment(tmp_path / "mlflow.db", tmp_path, "study", {RUN_TAG: "run_1"})
    for environment, may in ((own, False), ({"MLFLOW_TRACKING_URI": "http://elsewhere"}, False), ({}, True)):
        with monkeypatch.context() as said:
            for name, value in environment.items():
                said.setenv(name, value)
            assert may_capture() == may
    with monkeypatch.context() as said:
        for name in own:
            said.setenv(name, "kept to be put back")
            said.delenv(name)
        for folder in ("first", "second"):
            (tmp_path / folder).mkdir()
            capture_notebook(tmp_path / folder, Settings())
            assert os.environ["MLFLOW_TRACKING_URI"].endswith(f"{folder}/.falaj/mlflow.db")


def test_whoever_takes_the_address_back_imports_mlflow_as_ever(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from falaj.models.mlflow_capture import capture_environment, capture_here\n"
        "here = Path.cwd()\n"
        "capture_here(capture_environment(here / 'ours.db', here, 'study', {}))\n"
        "del os.environ['MLFLOW_TRACKING_URI']\n"
        "import mlflow\n"
        "print(mlflow.get_tracking_uri())\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=own, check=True, capture_output=True, text=True
    )
    assert "ours.db" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_nobody_made_yet_holds_no_runs(tmp_path: Path) -> None:
    assert logged_runs(tmp_path / "mlflow.db", RUN_TAG, "run_1") == []
    (tmp_path / "mlflow.db").touch()
    assert logged_runs(tmp_path / "mlflow.db", RUN_TAG, "run_1") == []
