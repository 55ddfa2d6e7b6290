"""ModelProcesses: the processes of all Python models that a worker serves."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from falaj.kernel.errors import FalajError, Timeout
from falaj.models.python.child import Child
from falaj.models.python.place import remove_logs
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes.port import Matrix, Scores
from falaj.serving.model_process import ModelProcess
from falaj.serving.stats import WorkerStats

_LINGER_S = 1.0
"""A request chooses its version before it is computed: one that is just replaced may still be asked."""


class ModelProcesses:
    """Finds the process of a model, and ends those that serve no more.

    Args:
        loop: The worker's; in a test, one of its own.
        stats: Counts ends and timeouts.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, stats: WorkerStats) -> None:
        self._loop = loop
        self._stats = stats
        self._known: dict[int, tuple[PythonRuntime, ModelProcess]] = {}
        self._kept: set[int] = set()
        # Threads that last: a process dies with the thread that started it.
        self._threads: ThreadPoolExecutor | None = None

    @property
    def rows(self) -> int:
        """Rows that wait for all of them."""
        return sum(process.rows for _, process in list(self._known.values()))

    def submit(
        self, runtime: PythonRuntime, matrix: Matrix, done: Callable[[Scores | FalajError], None],
        deadline_s: float | None = None,
    ) -> None:  # fmt: skip
        """Hand rows of one request to a model's process; as `ModelProcess.submit`."""
        self._of(runtime).submit(matrix, done, deadline_s)

    def is_late(self, result: Scores | FalajError, deadline_s: float | None) -> bool:
        """Return whether rows were answered with a timeout because their caller's deadline has passed.

        Args:
            result: What they were answered with.
            deadline_s: The caller's, on the loop's clock; None for none.
        """
        return isinstance(result, Timeout) and deadline_s is not None and self._loop.time() >= deadline_s

    def keep(self, runtimes: list[PythonRuntime]) -> None:
        """Take these over, and let all others end when their last requests are answered."""
        for runtime in runtimes:
            self._of(runtime)
        self._kept = {id(runtime) for runtime in runtimes}
        for key, known in self._known.items():
            if key not in self._kept:
                self._loop.call_later(_LINGER_S, self._retire, key, known)
        self._remove_logs(runtimes)

    def close(self) -> None:
        """End all processes; `wait` returns when they are gone."""
        for _, process in self._known.values():
            process.close()
        self._known.clear()

    def wait(self) -> None:
        """Return when nothing is started or ended any more; in another thread than the loop's."""
        if self._threads is not None:
            self._threads.shutdown()

    def _of(self, runtime: PythonRuntime) -> ModelProcess:
        known = self._known.get(id(runtime))
        if known is None:
            known = runtime, ModelProcess(runtime, self._loop, self._stats, self._in_thread)
            self._known[id(runtime)] = known
        return known[1]

    def _remove_logs(self, kept: list[PythonRuntime]) -> None:
        used = {runtime.log for runtime, _ in self._known.values()}  # those that linger too
        for folder in {runtime.log.parent for runtime in kept if runtime.place.folder is not None}:
            remove_logs(folder, used)

    def _retire(self, key: int, known: tuple[PythonRuntime, ModelProcess]) -> None:
        # It may serve again by now, and another may have its place.
        if key not in self._kept and self._known.get(key) is known:
            del self._known[key]
            known[1].retire()

    def _in_thread(
        self, work: Callable[[], Child | None], done: Callable[[Child | None, BaseException | None], None]
    ) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(8, "python-models")

        def tell(future: Future[Child | None]) -> None:
            error = future.exception()
            result = None if error is not None else future.result()
            try:
                self._loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:  # the loop has closed: the worker has ended
                if result is not None:
                    result.kill()

        self._threads.submit(work).add_done_callback(tell)
