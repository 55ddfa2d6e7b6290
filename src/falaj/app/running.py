"""The running control: how other processes of the same machine find it."""

import json
import os
from pathlib import Path

import msgspec

_FILE = "control.json"


class RunningControl(msgspec.Struct, frozen=True):
    """A control process that is alive.

    Attributes:
        pid: Its process id.
        url: The address of its API.
        started: Ticks since boot when it began; with the pid it names the process beyond reuse.
    """

    pid: int
    url: str
    started: int = 0


def announce(state: Path, url: str) -> None:
    """Write down that this process is the project's control."""
    running = RunningControl(os.getpid(), url, process_started(os.getpid()) or 0)
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
    started = process_started(running.pid)
    alive = started is not None and (running.started in (0, started))
    return running if alive else None


def process_started(pid: int) -> int | None:
    """Return when a process began, in ticks since boot; 0 where the system does not say; None if it is not alive."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[19])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0


def owner_token(state: Path) -> str | None:
    """Return the owner's token, which only the owner of the state folder can read."""
    try:
        return (state / "owner.token").read_text().strip() or None
    except FileNotFoundError:
        return None


def write_pid(state: Path, name: str, value: dict[str, object]) -> None:
    """Write a small file about a running process into the run folder."""
    (state / "run" / f"{name}.json").write_text(json.dumps(value))
