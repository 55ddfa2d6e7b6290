"""The running control: how other processes of the same machine find it."""

import os
from pathlib import Path

import msgspec

from falaj.pipelines.process import process_start

_FILE = "control.json"


class RunningControl(msgspec.Struct, frozen=True):
    """A control process that is alive.

    Attributes:
        pid: Its process id.
        url: The address of its API.
        started: When it began, in the system's own terms; with the pid it names the process beyond reuse.
    """

    pid: int
    url: str
    started: str


def folder_mark(state: Path) -> tuple[int, int] | None:
    """Return what tells a state folder from every other one of the same name; None where there is none."""
    try:
        found = (state / "run").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def announce(state: Path, url: str) -> None:
    """Write down that this process is the project's control."""
    running = RunningControl(os.getpid(), url, process_start(os.getpid()) or "")
    path = state / "run" / _FILE
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(running))
    part.replace(path)


def withdraw(state: Path) -> None:
    """Forget the announcement, if it is this process's own."""
    running = find_control(state)
    if running is not None and running.pid == os.getpid():
        (state / "run" / _FILE).unlink(missing_ok=True)


def find_control(state: Path) -> RunningControl | None:
    """Return the project's control if its process is alive."""
    try:
        running = msgspec.json.decode((state / "run" / _FILE).read_bytes(), type=RunningControl)
    except (OSError, msgspec.DecodeError):
        return None
    return running if process_start(running.pid) == running.started else None


def owner_token(state: Path) -> str | None:
    """Return the owner's token, which only the owner of the state folder can read."""
    try:
        return (state / "owner.token").read_text().strip() or None
    except FileNotFoundError:
        return None
