"""The layer contract holds, and the tool that holds it sees what it must."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = "from importlinter.cli import lint_imports_command as run; run(prog_name='lint-imports')"


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    """Run lint-imports on the project in this folder, in a process of its own that sees this copy of the package."""
    environment = os.environ | {"PYTHONPATH": str(project / "src"), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", RUN, "--no-cache"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and of its contract."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contract_holds() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "planted", "seen"),
    [
        ("serving/guard.py", "import falaj.pipelines", "falaj.serving.guard -> falaj.pipelines"),
        ("serving/guard.py", "import pandas", "falaj.serving.guard -> pandas"),
        # not in the serving room, but reached from it
        ("features/online.py", "import pandas", "falaj.features.online -> pandas"),
        ("kernel/clock.py", "import numpy", "falaj.kernel.clock -> numpy"),
        ("definitions/entity.py", "import falaj.storage", "falaj.definitions.entity -> falaj.storage"),
        ("monitoring/drift.py", "import falaj.serving", "falaj.monitoring.drift -> falaj.serving"),
    ],
)
def test_a_planted_import_is_caught(file: str, planted: str, seen: str, copy: Path) -> None:
    path = copy / "src" / "falaj" / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{planted}\n", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert seen in done.stdout


def test_a_room_that_the_contract_does_not_name_is_caught(copy: Path) -> None:
    (copy / "src" / "falaj" / "utils.py").write_text("", encoding="utf-8")
    done = lint_imports(copy)
    assert done.returncode != 0, done.stdout
    assert "falaj.utils" in done.stdout


def test_there_are_no_exceptions_from_the_contract() -> None:
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
