"""A worker process that kills itself, as `kill -9` would, when it comes to a given place for the n-th time.

The database is the one whose address the folder's file `database.url` holds, or else one in the folder. The
folder's file `ray.address`, if it is there, holds the address of a Ray and its token.
"""

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from falaj.kernel.clock import SystemClock
from falaj.pipelines.executors import ChildProcess, InProcess
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.ray.executor import OnRay
from falaj.pipelines.ray.jobs import Jobs
from falaj.pipelines.task import Executor
from falaj.pipelines.worker import LEASE_S, Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database
from support.waiting import until


def open_database(folder: Path) -> Database:
    """Return the folder's database."""
    url = folder / "database.url"
    return Database.postgres(url.read_text()) if url.exists() else Database.sqlite(folder / "falaj.db")


def open_worker(folder: Path, point: str = "", times: int = 1, lease_s: float = LEASE_S) -> tuple[Database, Worker]:
    """Return the folder's database and a worker on it."""
    left = times

    def crash_at(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    db = open_database(folder)
    executors: dict[str, Executor] = {"in_process": InProcess(), "child": ChildProcess(), "project": ChildProcess()}
    if (folder / "ray.address").exists():
        address, token = (folder / "ray.address").read_text().split()
        jobs, secrets = Jobs(address, lambda: token), folder / "secrets"
        executors["ray"] = OnRay(jobs, folder, folder=folder, secrets=secrets, patience_s=0.5, crash_at=crash_at)
    worker = Worker(
        db,
        LocalBlobs(folder / "blobs"),
        SystemClock(),
        StepKeys([], "environment"),
        executors,
        work=folder / "work",
        logs=folder / "logs",
        lease_s=lease_s,
        crash_at=crash_at,
    )
    return db, worker


class Started:
    """A process that works, as `subprocess.Popen` would give it.

    Args:
        folder: The state folder.
        point: Where it kills itself; empty for nowhere.
        times: At which time it comes there.
        lease_s: How long a lease is.
        run_id: The run that it works on until that has ended; empty for whatever is ready now.
    """

    def __init__(self, folder: Path, point: str, times: int, lease_s: float, run_id: str) -> None:
        self._folder = folder
        # Forked from a process that has everything loaded: a test starts dozens.
        self._process = _PROCESSES.Process(target=_work, args=(str(folder), point, times, lease_s, run_id))
        self._process.start()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its exit code, below zero for a signal.

        Raises:
            TimeoutError: It goes on.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"the worker goes on after {timeout} s")
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def hang(self) -> None:
        """Stop it as a frozen machine would, in a moment when it keeps no other process from writing."""
        while True:
            self.send_signal(signal.SIGSTOP)
            until(self._is_stopped, "the worker has stopped")
            if _may_write(self._folder):
                return
            self.send_signal(signal.SIGCONT)

    def _is_stopped(self) -> bool:
        state = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state == "T"

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _may_write(folder: Path) -> bool:
    """Return whether nobody holds the lock of the database's only writer."""
    url = folder / "database.url"
    if url.exists():
        with psycopg.connect(url.read_text()) as server:
            return server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'").fetchone() is None
    with closing(sqlite3.connect(folder / "falaj.db", timeout=0)) as file:
        try:
            file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        file.rollback()
        return True


def start_worker(
    folder: Path, point: str = "", times: int = 1, *, lease_s: float = LEASE_S, run_id: str = ""
) -> Started:
    """Start such a process."""
    return Started(folder, point, times, lease_s, run_id)


def _work(folder: str, point: str, times: int, lease_s: float, run_id: str) -> None:
    db, worker = open_worker(Path(folder), point, times, lease_s)
    if run_id:
        worker.run_one(run_id)
    else:
        worker.run_until_idle()
    db.close()


_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__, "unit.pipelines.counted_pipelines", "unit.pipelines.sample_steps"])
