"""Assignment: the folder in which a job on Ray finds what it is to do, and leaves what came of it.

    assignment.json   what is to be done; the job takes it away by renaming it, so that it is done once
    taken.json        the same, from then on; a job whose file is gone ends itself
    began             when it was taken, in seconds since 1970, by the node's clock
    log.txt           what the step says
    progress.json     how far it is
    result.json       what came of it
    done              written when the job has nothing more to do
    work/             the step's working folder

The folder, the blobs and the project's folder must have the same names on every node.
"""

import contextlib
import os
import shutil
from pathlib import Path

import msgspec

from falaj.kernel.codec import to_json
from falaj.pipelines.child import ChildProgress, ChildRequest, ChildResult
from falaj.storage.disk import write_atomically

NOT_SHARED = 97
"""What a job leaves with whose node does not see the folders."""
WITHDRAWN = 98
"""What a job leaves with that finds nothing to do, or no more."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is to do.

    Attributes:
        key: The step's content key.
        request: As a child process is told it.
        project: The project's folder, where the step works and its code is looked for first; None for neither.
        environment: Variables that the job sets, no secrets.
        home: The folder that the variables and the request's `before` and `after` are about: a node that does not have
            it on a disk of its own leaves all of them out. None where they are about none.
    """

    key: str
    request: ChildRequest
    project: str | None = None
    environment: dict[str, str] = {}
    home: str | None = None


class AssignmentFolder:
    """One job's folder, as the worker and the job see it.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.txt"
        self._waiting = path / "assignment.json"
        self._taken = path / "taken.json"
        self._began = path / "began"
        self._result = path / "result.json"
        self._done = path / "done"
        self._progress = path / "progress.json"

    def give(self, assignment: Assignment) -> None:
        """Write down what is to be done."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Arguments are nobody else's business, and a power cut must leave all of them or none.
        write_atomically(self._waiting, to_json(assignment).encode())

    def given(self) -> Assignment | None:
        """Return what is to be done, whether or not a job has taken it; None where nothing is that can be read."""
        for file in (self._waiting, self._taken):
            # A damaged one would be met by every next attempt too, under the same name: it is given anew.
            with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                return msgspec.json.decode(file.read_bytes(), type=Assignment)
        return None

    def take(self, now: float) -> Assignment | None:
        """Take what is to be done, for this job alone; None where there is nothing, or another one has taken it.

        Args:
            now: Seconds since 1970.
        """
        try:
            self._waiting.rename(self._taken)
        except FileNotFoundError:
            return None
        self._began.write_text(repr(now), encoding="ascii")
        return msgspec.json.decode(self._taken.read_bytes(), type=Assignment)

    def is_taken(self) -> bool:
        """Return whether a job has taken it, and it was not withdrawn since.

        Raises:
            OSError: The folder cannot be looked at, as when a server of files is away: nobody withdrew it by that.
        """
        try:
            os.stat(self._taken)  # noqa: PTH116 - `exists` says no, whatever went wrong, from Python 3.14 on
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def began(self) -> float | None:
        """Return when it was taken, in seconds since 1970; None before."""
        with contextlib.suppress(OSError, ValueError):
            return float(self._began.read_text(encoding="ascii"))
        return None

    def result(self) -> ChildResult | None:
        """Return what came of it; None before the end."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._result.read_bytes(), type=ChildResult)
        return None

    def finish(self) -> None:
        """Write down that the job has nothing more to do."""
        with contextlib.suppress(OSError):  # a worker that learned it from Ray has removed the folder
            self._done.touch()

    def is_done(self) -> bool:
        """Return whether the job has nothing more to do."""
        return self._done.exists()

    def progress(self) -> ChildProgress | None:
        """Return how far it is; None where it did not say."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._progress.read_bytes(), type=ChildProgress)
        return None

    def copy_log(self, target: Path) -> None:
        """Add what the job has said since the last time to a log; whoever takes the step over goes on there."""
        copied = self.path / "log.copied"
        try:
            said = self.log.open("rb")
        except FileNotFoundError:
            return
        with said:
            done = _number(copied)
            if os.fstat(said.fileno()).st_size <= done:
                return
            said.seek(done)
            with target.open("ab") as log:
                shutil.copyfileobj(said, log)  # in pieces: nobody may have followed for days
            part = copied.with_suffix(".part")
            part.write_text(str(said.tell()), encoding="ascii")
            part.replace(copied)

    def withdraw(self) -> None:
        """Take it back: a job that has not begun never does, and one that has ends itself within seconds."""
        self._waiting.unlink(missing_ok=True)
        self._taken.unlink(missing_ok=True)

    def remove(self) -> None:
        """Withdraw it, and remove the folder."""
        with contextlib.suppress(OSError):
            self.withdraw()
        shutil.rmtree(self.path, ignore_errors=True)


def _number(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(file.read_text(encoding="ascii"))
    return 0
