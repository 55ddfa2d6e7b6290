"""PythonPlace: where the processes of Python models work, and within what limits."""

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec

from falaj.kernel.python_settings import PythonSettings

WORK = "work-"
"""How the folders begin into which models are unpacked."""

LOGS_KEPT = 20
"""Logs of versions that serve no more are kept, the newest, for whoever asks why one was taken back."""


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
    """Remove what a process that was killed left unpacked, and old logs; no other may use the folder."""
    if folder is None:
        return
    for left in folder.glob(f"{WORK}*"):
        shutil.rmtree(left, ignore_errors=True)
    remove_logs(folder, ())


def remove_logs(folder: Path, used: Collection[Path]) -> None:
    """Remove logs but the newest of those that no process writes any more.

    Args:
        folder: Holds them.
        used: Those that processes write.
    """
    with contextlib.suppress(OSError):  # a log too many hinders nobody
        idle = [log for log in folder.glob("*.log") if log not in used]
        for old in sorted(idle, key=lambda log: log.stat().st_mtime, reverse=True)[LOGS_KEPT:]:
            old.unlink(missing_ok=True)
