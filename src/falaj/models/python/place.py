"""PythonPlace: where the processes of Python models work, and within what limits."""

import shutil
from pathlib import Path

import msgspec

from falaj.kernel.python_settings import PythonSettings

WORK = "work-"
"""How the folders begin into which models are unpacked."""


class PythonPlace(msgspec.Struct, frozen=True):
    """Where processes of Python models work, and within what limits.

    Attributes:
        folder: Holds their unpacked files and their logs; None for the system's temporary folder.
        name: The log's name without its ending.
        settings: The limits.
    """

    folder: Path | None = None
    name: str = "python-model"
    settings: PythonSettings = PythonSettings()


def clear_work(folder: Path | None) -> None:
    """Remove what a process that was killed left unpacked; no other may use the folder."""
    for left in [] if folder is None else folder.glob(f"{WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
