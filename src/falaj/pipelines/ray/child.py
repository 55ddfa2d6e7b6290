"""A step as a job on Ray: `python -m falaj.pipelines.ray.child FOLDER`.

The command names a folder and nothing else: what the job is to do, and all that it gives out, lies there. Secrets are
in neither: the step reads them on its node.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import msgspec

from falaj.kernel.errors import Unsupported
from falaj.pipelines.child import carry_out
from falaj.pipelines.context import EndState
from falaj.pipelines.ray.assignment import NOT_SHARED, WITHDRAWN, Assignment, AssignmentFolder
from falaj.storage.disk import refuse_network

_LOOK_EVERY_S = 1.0


def main() -> None:
    """Do what the folder says."""
    os.umask(0o077)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # a step that starts a Ray of its own tells nobody
    path = Path(sys.argv[1])
    if not path.parent.is_dir():
        _leave(NOT_SHARED, f"{path.parent} is not on this node")
    folder = AssignmentFolder(path)
    given = folder.given()
    if given is not None and given.project is not None and not Path(given.project).is_dir():
        _leave(NOT_SHARED, f"the project's folder {given.project} is not on this node")
    assignment = folder.take(time.time())
    if assignment is None:
        _leave(WITHDRAWN, f"{path} has nothing to do any more")
    else:
        sys.exit(0 if _do(assignment, folder) is EndState.SUCCEEDED else 1)


def _do(assignment: Assignment, folder: AssignmentFolder) -> EndState:
    _say_into(folder.log)
    ended = threading.Event()
    threading.Thread(target=_end_when_withdrawn, args=(folder, ended), daemon=True).start()
    if assignment.project is not None:
        os.chdir(assignment.project)
        sys.path.insert(0, assignment.project)
    request = assignment.request
    if assignment.home is None or _has(Path(assignment.home)):
        os.environ.update(assignment.environment)
    else:
        request = msgspec.structs.replace(request, before="", after="")
    state = carry_out(request).state
    ended.set()
    folder.finish()
    return state


def _has(folder: Path) -> bool:
    """Return whether a folder is on a disk of this node; one that came over the network must hold no database."""
    try:
        refuse_network(folder)
    except Unsupported:
        return False
    return folder.is_dir()


def _say_into(log: Path) -> None:
    """Let all that the step and its programs print go into a file, and none of it into Ray's own logs."""
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)


def _end_when_withdrawn(folder: AssignmentFolder, ended: threading.Event) -> None:
    """Kill this group when the assignment is taken back: Ray may be too dead to be told to."""
    while not ended.wait(_LOOK_EVERY_S):
        # While the folder cannot be looked at the job goes on, and is looked after again as soon as it can.
        with contextlib.suppress(OSError):
            if not folder.is_taken() and not ended.is_set():
                os.killpg(os.getpgrp(), signal.SIGKILL)


def _leave(status: int, why: str) -> None:
    print(why, file=sys.stderr, flush=True)  # noqa: T201 - into Ray's log, whose end control reads
    sys.exit(status)


if __name__ == "__main__":
    main()
