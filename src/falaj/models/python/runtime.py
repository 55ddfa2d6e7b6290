"""PythonRuntime: a user's class behind the port of all models, in a process of its own."""

import shutil
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np

from falaj.kernel.errors import FalajError, Unavailable
from falaj.models.python.child import Child
from falaj.models.python.package import PythonPackage
from falaj.models.python.place import WORK, PythonPlace
from falaj.models.runtimes.port import Matrix, Scores, check_matrix
from falaj.storage.disk import failure

BATCH_ROWS = 512
"""Rows of one call; the limit of time is for that many."""


class PythonRuntime:
    """A package, loaded and answering. The gateway takes its process over and asks it beside the event loop.

    Args:
        package: What to load.
        features: How many columns the matrix has.
        place: Where, and within what limits.

    Attributes:
        place: As given.
        ready: Whether a process has the model loaded.

    Raises:
        FalajError: It does not load, or in too much time.
        StorageError: It cannot be unpacked or started.
    """

    def __init__(self, package: PythonPackage, features: int, place: PythonPlace | None = None) -> None:
        self.place = place or PythonPlace()
        self.ready = False
        self._package = package
        self._features = features
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._backoff = Backoff()
        self._due_s = 0.0
        base = self.place.folder or Path(tempfile.gettempdir()) / "falaj-python"
        try:
            base.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder = Path(tempfile.mkdtemp(prefix=WORK, dir=base))
        except OSError as error:
            raise failure(error, f"cannot make a folder for a Python model in {base}") from error
        self.log = base / f"{self.place.name}.log"
        self._living: list[Child] = []
        self._end = weakref.finalize(self, _end, self._living, self._folder)
        try:
            package.write(self._folder)
            self._adopt(self.start())
        except FalajError:
            self.close()
            raise

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row, waiting for the process; a new one is started where the last one ended.

        Larger matrices go in parts, since the limit of time is that of a batch.

        Raises:
            InputError: The matrix has another shape.
            Timeout: It took too long, and was ended.
            Unavailable: It ended too often, and is left alone for a while.
            FalajError: The user's code raised, or the process ended.
        """
        check_matrix(matrix, self._features)
        parts = [self._predict(matrix[at : at + BATCH_ROWS]) for at in range(0, len(matrix), BATCH_ROWS)]
        return np.concatenate(parts) if parts else np.empty(0, np.float64)

    def _predict(self, matrix: Matrix) -> Scores:
        with self._lock:
            if self._child is None:
                if time.monotonic() < self._due_s:
                    raise Unavailable(f"the process of {self.place.name} has ended and is started again in a while")
                self._adopt(self.start())
            assert self._child is not None
            try:
                return self._child.predict(matrix, self.place.settings.timeout_ms / 1000)
            except FalajError:
                if self._child.broken:
                    self._drop()
                raise

    def start(self) -> Child:
        """Return a new process that has loaded the model; blocks until it has.

        Raises:
            FalajError: It does not load, or in too much time.
        """
        child = Child(self._folder, self.log, self.place.settings)
        try:
            child.load(self._package.entry, self._package.params, self._folder, self.place.settings.load_s)
        except FalajError:
            child.kill()
            raise
        return child

    def take(self) -> Child | None:
        """Return its process, if it has one; whoever takes it ends it."""
        with self._lock:
            child, self._child = self._child, None
            self._living.clear()
            return child

    def close(self) -> None:
        """End the process and remove its files; harmless to repeat."""
        self.ready = False
        self._end()

    def _adopt(self, child: Child) -> None:
        self._child = child
        self._living[:] = [child]
        self._backoff.began(time.monotonic())
        self.ready = True

    def _drop(self) -> None:
        assert self._child is not None
        self._child.kill()
        self._child = None
        self._living.clear()
        self.ready = False
        now_s = time.monotonic()
        self._due_s = now_s + self._backoff.after_end(now_s)


class Backoff:
    """How long to wait before a process that ended is started again: not at all, then twice as long each time.

    Never long where one request is to blame, since others wait behind it.

    Example:
        >>> backoff = Backoff()
        >>> backoff.began(0.0)
        >>> [backoff.after_end(at_s) for at_s in (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)]
        [0.0, 0.1, 0.2, 0.4, 0.8, 1.6]
        >>> backoff.after_end(1.0, blamed=True)
        0.2
        >>> backoff.began(2.0)
        >>> backoff.after_end(2.0 + 10)
        0.0
    """

    _HEALTHY_S = 10.0
    _FIRST_S = 0.1
    _MOST_S = 30.0
    _MOST_BLAMED_S = 0.2

    def __init__(self) -> None:
        self._ends = 0
        self._began_s = 0.0

    def began(self, now_s: float) -> None:
        """Note that a process is up."""
        self._began_s = now_s

    def after_end(self, now_s: float, *, blamed: bool = False) -> float:
        """Return the seconds to wait, now that it ended or did not start.

        Args:
            now_s: The time.
            blamed: Whether it computed a single request when it ended.
        """
        if now_s - self._began_s >= self._HEALTHY_S and self._ends:
            self._ends = 0
        self._ends += 1
        most_s = self._MOST_BLAMED_S if blamed else self._MOST_S
        return 0.0 if self._ends == 1 else min(most_s, self._FIRST_S * 2.0 ** min(self._ends - 2, 20))


def _end(living: list[Child], folder: Path) -> None:
    for child in living:
        child.kill()
    living.clear()
    shutil.rmtree(folder, ignore_errors=True)
