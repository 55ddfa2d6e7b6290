"""A worker process that kills itself, as `kill -9` would, when it comes to a given place for the n-th time.

Arguments: state folder, name of the place ("" for never), n, how long a lease is, and a run to work on until it has
ended ("" for whatever is ready now). The database is the one whose
address the folder's file `database.url` holds, or else one in the folder.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from falaj.kernel.clock import SystemClock
from falaj.pipelines.executors import ChildProcess, InProcess
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.worker import LEASE_S, Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database


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
    worker = Worker(
        db,
        LocalBlobs(folder / "blobs"),
        SystemClock(),
        StepKeys([], "environment"),
        {"in_process": InProcess(), "child": ChildProcess(), "project": ChildProcess()},
        work=folder / "work",
        logs=folder / "logs",
        lease_s=lease_s,
        crash_at=crash_at,
    )
    return db, worker


def start_worker(
    folder: Path, point: str = "", times: int = 1, *, lease_s: float = LEASE_S, run_id: str = ""
) -> "subprocess.Popen[bytes]":
    """Start such a process."""
    command = [sys.executable, __file__, str(folder), point, str(times), str(lease_s), run_id]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def main() -> None:
    folder, point, times, lease_s, run_id = sys.argv[1:]
    db, worker = open_worker(Path(folder), point, int(times), float(lease_s))
    if run_id:
        worker.run_one(run_id)
    else:
        worker.run_until_idle()
    db.close()


if __name__ == "__main__":
    main()
