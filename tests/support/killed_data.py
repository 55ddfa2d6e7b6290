"""Lives of the data room that end after each of their commits, in processes of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.data_room import DataRoom

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "faults" / "data"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}


def lives(work: str, base: Path, expected: int, prepare: Callable[[Path], None]) -> list[Path]:
    """Run the work until it survives, and return the folder of each life, the last one's being the survivor's."""
    first = base / "1"
    first.mkdir(parents=True)
    prepare(first)
    copies = [Path(shutil.copytree(first, base / str(number))) for number in range(2, expected + 2)]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAMS / "dying.py"), work, str(base)],
        capture_output=True, text=True, env=environment(), check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == expected
    return [first, *copies]


def reopened(folder: Path) -> DataRoom:
    return DataRoom.embedded(folder / ".falaj", folder)
