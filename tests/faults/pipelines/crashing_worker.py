"""A worker process that kills itself, as `kill -9` would, when it comes to a given place for the n-th time.

Arguments: state folder, name of the place ("" for never), n.
"""

import os
import signal
import sys
from pathlib import Path

from falaj.kernel.clock import SystemClock
from falaj.pipelines.executors import ChildProcess, InProcess
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.worker import Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database


def open_worker(folder: Path, point: str = "", times: int = 1) -> tuple[Database, Worker]:
    """Return the folder's database and a worker on it."""
    left = times

    def crash_at(reached: str) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    db = Database.sqlite(folder / "falaj.db")
    worker = Worker(
        db,
        LocalBlobs(folder / "blobs"),
        SystemClock(),
        StepKeys([], "environment"),
        {"in_process": InProcess(), "child": ChildProcess()},
        work=folder / "work",
        logs=folder / "logs",
        crash_at=crash_at,
    )
    return db, worker


def main() -> None:
    folder, point, times = sys.argv[1:]
    db, worker = open_worker(Path(folder), point, int(times))
    worker.run_until_idle()
    db.close()


if __name__ == "__main__":
    main()
