"""Who works: a name for this process that no later process can bear by accident."""

import functools
import os
import platform
import secrets
import subprocess
from pathlib import Path

import msgspec


class WorkerId(msgspec.Struct, frozen=True):
    """A worker: where, which process, since when, and a random part for several in one process.

    Attributes:
        host: Name of the machine and of its process namespace, inside which pids mean something.
        pid: Process number.
        started: When the process started, as the system tells it; a reused pid has another.
        random: Eight hex digits.
    """

    host: str
    pid: int
    started: str
    random: str

    def __str__(self) -> str:
        return f"{self.host}|{self.pid}|{self.started}|{self.random}"

    @staticmethod
    def parse(text: str) -> "WorkerId":
        """Return the worker that the text names.

        Example:
            >>> WorkerId.parse("pump-1:4026|17|99|00c0ffee").pid
            17
        """
        host, pid, started, random = text.rsplit("|", 3)
        return WorkerId(host, int(pid), started, random)

    def is_gone(self, here: str) -> bool:
        """Return whether the process is certainly dead; a worker on another host is never said to be.

        Args:
            here: The host of the one who asks.
        """
        return self.host == here and process_start(self.pid) != self.started


def this_worker() -> WorkerId:
    """Return a new identity for a worker in this process."""
    pid = os.getpid()
    return WorkerId(this_host(), pid, process_start(pid) or "unknown", secrets.token_hex(4))


@functools.cache
def this_host() -> str:
    """Return the name of this machine and process namespace: containers may share a host name, but no pids."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        namespace = ""
    return f"{platform.node()}:{namespace}"


def process_start(pid: int) -> str | None:
    """Return when a process started, in the system's own terms; None if there is no such live process.

    Example:
        >>> process_start(os.getpid()) is not None, process_start(2**30)
        (True, None)
    """
    if Path("/proc/self/stat").exists():
        try:
            # After the command name, which may hold spaces: state is the first field, start time the twentieth.
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # A zombie has ended: only its parent has not yet looked.
        return None if fields[0] in "ZX" else f"{_boot()}-{fields[19]}"
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def cpu_seconds_of(pid: int) -> float:
    """Return the core-seconds that a process has used, those of its ended children included; 0 where nobody says.

    Example:
        >>> cpu_seconds_of(2**30)
        0.0
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@functools.cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return ""
