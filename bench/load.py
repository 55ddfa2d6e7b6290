"""Servers on one CPU, load on another; what the load saw and what the server spent."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

_HERE = Path(__file__).parent
_SHARED = _HERE.parent.parent / "shared" / "bench"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READY_S = 30.0
CONNECTIONS = 64


class Cpus(NamedTuple):
    """Which CPU the server gets, and which the load; None where the machine has only one, or no taskset."""

    server: int | None
    load: int | None


class Run(NamedTuple):
    """One run of a load against one server.

    Attributes:
        answered: Answers that the client got.
        refused: Of these, with a status of 400 or above.
        broken: Connections that failed or timed out.
        rate: Answers per second.
        p50_ms: Median latency seen from the client.
        p99_ms: 99th percentile of it.
        server_us: CPU time of the server process per answer, in microseconds.
        server_share: Share of its CPU that the server process used; below about 0.95 something else was the limit.
    """

    answered: int
    refused: int
    broken: int
    rate: float
    p50_ms: float
    p99_ms: float
    server_us: float
    server_share: float


def cpus() -> Cpus:
    """Return where server and load go."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2 or shutil.which("taskset") is None:
        return Cpus(None, None)
    return Cpus(usable[0], usable[1])


def pinned(cpu: int | None, words: Sequence[str]) -> list[str]:
    """Return the words with taskset before them."""
    return list(words) if cpu is None else ["taskset", "-c", str(cpu), *words]


def shared(name: str) -> Path | None:
    """Return a file of the shared bench, if that folder is beside the project."""
    path = _SHARED / name
    return path if path.is_file() else None


@contextmanager
def server(cpu: int | None, words: Sequence[str], url: str, *, ready_s: float = _READY_S) -> Iterator[int]:
    """Run a server on its CPU; gives its process id once the URL answers, whatever the status."""
    command = pinned(cpu, words)
    print(f"$ {shlex.join(command)}", flush=True)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(url, process, ready_s)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):  # its children, which some leave behind
            os.killpg(process.pid, signal.SIGKILL)


def python(*words: str) -> list[str]:
    """Return the words of a command of this Python."""
    return [sys.executable, *words]


def child_of(pid: int, marker: str) -> int:
    """Return the process id of a child of the process, by a word of its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid and marker in command:
            return int(folder.name)
    raise SystemExit(f"bench: process {pid} has no child {marker}")


def closed_loop(
    cpu: int | None,
    url: str,
    seconds: float,
    pid: int,
    environment: dict[str, str],
    *,
    script: str = "requests.lua",
    connections: int = CONNECTIONS,
) -> Run:
    """Ask as fast as the server answers.

    Args:
        cpu: Where the load runs.
        url: The server's address.
        seconds: How long.
        pid: The server's process.
        environment: What the script reads.
        script: Which of the scripts beside this file makes the requests.
        connections: How many requests are under way at once.
    """
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(_HERE / script), url]
    before, began = cpu_s(pid), time.perf_counter()
    out = subprocess.run(
        pinned(cpu, words), env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    spent, took = cpu_s(pid) - before, time.perf_counter() - began
    found: dict[str, Any] = json.loads(out.stdout.strip().splitlines()[-1])
    answered = int(found["requests"])
    return Run(
        answered,
        int(found["refused"]),
        int(found["broken"]),
        answered / found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        1e6 * spent / max(answered, 1),
        spent / took,
    )


def open_loop(cpu: int | None, script: Path, url: str, rate: int, seconds: float, token: str, bodies: Path) -> Any:
    """Ask on a fixed schedule; returns what `open_loop.py` printed."""
    words = python(str(script), url, "--rate", str(rate), "--seconds", f"{seconds:g}", "--body-file", str(bodies))
    words += ["--header", f"Authorization: Bearer {token}", "--connections", str(CONNECTIONS)]
    out = subprocess.run(pinned(cpu, words), capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _wait(url: str, process: subprocess.Popen[bytes], ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own loopback address
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"bench: nothing answers at {url}")
