"""ModelProcess: a Python model's process, asked beside the event loop.

    starts ──► ready ──(a batch is sent)──► busy ──(its answer)──► ready
       ▲                                     │
       └──(after a while)── ended ◄──(it ended, or took too long)

While it is busy or starts, calls wait in a bounded queue; nothing here blocks the loop.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

import msgspec
import numpy as np

from falaj.kernel.errors import FalajError, Overloaded, Timeout, Unavailable
from falaj.models.python.child import Child, ended, matrix_bytes, message, raised
from falaj.models.python.host import DONE, HEADER, PREDICT
from falaj.models.python.runtime import BATCH_ROWS, Backoff, PythonRuntime
from falaj.models.runtimes.port import Matrix, Scores
from falaj.serving.boundary import contain
from falaj.serving.stats import WorkerStats

_LOOK_S = 0.02
"""How often deadlines are looked at while anything waits."""

_CHUNK = 1 << 18
_TRIES = 2

_log = logging.getLogger("falaj.serving.model_process")

InThread = Callable[[Callable[[], Child | None], Callable[[Child | None, BaseException | None], None]], None]
"""Runs a function where it delays no request, then hands over in the loop what it returned or raised."""


class Call(msgspec.Struct, eq=False):
    """Rows that one request asks for: what belongs together, and fails together.

    Attributes:
        matrix: float32, (rows, features).
        done: Gets the scores or the error; called once.
        deadline_s: On the loop's clock; then it is answered, whatever the process does.
        alone: Whether it is computed by itself, because a batch that it was in failed.
        tries: How often the process ended while it computed this.
        answered: Whether `done` was called.
    """

    matrix: Matrix
    done: Callable[[Scores | FalajError], None]
    deadline_s: float
    alone: bool = False
    tries: int = 0
    answered: bool = False

    def answer(self, result: Scores | FalajError) -> None:
        """Give the scores or the error, unless one was given."""
        if not self.answered:
            self.answered = True
            contain(self.done, result)


class ModelProcess:
    """One model of one worker.

    A batch whose code raises is computed anew call by call, and so is one in which the process ended or took too long:
    whoever brought it down is alone then, and only that one gets the error.

    Args:
        runtime: The loaded model; its process is taken over.
        loop: The worker's.
        stats: Counts ends and timeouts.
        in_thread: Starts processes and waits for their end.

    Attributes:
        rows: Rows that wait, those under way included.
        size_bytes: Bytes of their matrices.
    """

    def __init__(
        self, runtime: PythonRuntime, loop: asyncio.AbstractEventLoop, stats: WorkerStats, in_thread: InThread
    ) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._runtime = runtime
        self._settings = runtime.place.settings
        self._loop = loop
        self._stats = stats
        self._in_thread = in_thread
        self._waiting: deque[Call] = deque()
        self._flight: list[Call] = []
        self._child: Child | None = None
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._backoff = Backoff()
        self._due_s = 0.0
        self._limit: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._retired = False
        self._closed = False
        child = runtime.take()
        if child is None:
            self._restart()
        else:
            self._began(child)

    def submit(self, matrix: Matrix, done: Callable[[Scores | FalajError], None], deadline_s: float | None) -> None:
        """Take rows of one request.

        Args:
            matrix: float32, C-contiguous, (rows, features).
            done: Gets the scores or the error, later.
            deadline_s: On the loop's clock; None for the setting's.

        Raises:
            Overloaded: Too many rows or bytes wait.
            Unavailable: The process has ended, and does not start anew in time.
        """
        rows, size = len(matrix), matrix.nbytes
        settings, now_s = self._settings, self._loop.time()
        full = self.rows + rows > settings.max_queue_rows or self.size_bytes + size > settings.max_queue_bytes
        if full and self.rows:
            raise Overloaded("too many rows wait for a Python model", hint="try again in a second")
        last_s = now_s + settings.wait_ms / 1000
        deadline_s = last_s if deadline_s is None else min(deadline_s, last_s)
        if self._child is None and self._due_s > deadline_s:
            raise Unavailable("the process of a Python model ends again and again", hint="its log may say why")
        self.rows += rows
        self.size_bytes += size
        self._waiting.append(Call(matrix, done, deadline_s))
        self._pump()
        if self._look is None:
            self._look = self._loop.call_later(_LOOK_S, self._look_at_deadlines)

    def retire(self) -> None:
        """End once nothing waits any more: another version serves."""
        self._retired = True
        if not self._flight and not self._waiting:
            self.close()

    def close(self) -> None:
        """End now; what waits is refused."""
        if self._closed:
            return
        self._retired = self._closed = True
        self._lose_child()
        for call in (*self._flight, *self._waiting):
            self._settle(call, Unavailable("the gateway is shutting down"))
        self._flight = []
        self._waiting.clear()
        self._in_thread(self._runtime.close, lambda _child, _error: None)

    def _pump(self) -> None:
        if self._flight or self._child is None:
            return
        if not self._waiting:
            if self._retired:
                self.close()
            return
        batch = [self._waiting.popleft()]
        rows = len(batch[0].matrix)
        while self._waiting and not batch[0].alone and not self._waiting[0].alone:
            rows += len(self._waiting[0].matrix)
            if rows > BATCH_ROWS:
                break
            batch.append(self._waiting.popleft())
        self._flight = batch
        matrix = batch[0].matrix if len(batch) == 1 else np.concatenate([call.matrix for call in batch])
        self._unsent = memoryview(message(PREDICT, matrix_bytes(matrix)))
        self._limit = self._loop.call_later(self._settings.timeout_ms / 1000, self._hung)
        self._write()

    def _write(self) -> None:
        if self._child is None:
            return
        try:
            sent = self._child.socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has ended: reading says so
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._child.socket, self._write_more)

    def _write_more(self) -> None:
        if self._child is not None:
            self._loop.remove_writer(self._child.socket)
            self._write()

    def _read(self) -> None:
        if self._child is None:
            return
        try:
            received = self._child.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._died()
            return
        self._received += received
        if len(self._received) >= HEADER.size:
            status, size = HEADER.unpack_from(self._received)
            if len(self._received) >= HEADER.size + size:
                content = bytes(self._received[HEADER.size :])
                self._received.clear()
                self._answered(status, content)

    def _answered(self, status: int, content: bytes) -> None:
        batch = self._ended_flight()
        if status != DONE:
            if len(batch) > 1:
                self._again(batch)
            else:
                self._settle(batch[0], raised(content, "predict", to_caller=True))
            self._pump()
            return
        scores = np.frombuffer(content, np.float64)
        self._pump()  # it computes the next batch while these are answered
        begin = 0
        for call in batch:
            end = begin + len(call.matrix)
            self._settle(call, scores[begin:end])
            begin = end

    def _hung(self) -> None:
        self._stats.python_timeouts += 1
        self._brought_down(Timeout(f"predict of its Python code took longer than {self._settings.timeout_ms} ms"), 1)

    def _died(self) -> None:
        self._brought_down(ended("predict"), _TRIES)

    def _brought_down(self, error: FalajError, tries: int) -> None:
        """Answer what was alone with the process so often, and let the rest of the batch wait for the next one."""
        batch = self._ended_flight()
        blamed = len(batch) == 1
        if not blamed:
            self._again(batch)
        else:
            batch[0].tries += 1
            if batch[0].tries >= tries:
                self._settle(batch[0], error)
            else:  # after all others, who may well be innocent, and wait
                batch[0].alone = True
                self._waiting.append(batch[0])
        self._restart(blamed=blamed)

    def _again(self, batch: list[Call]) -> None:
        for call in reversed(batch):
            call.alone = True
            self._waiting.appendleft(call)

    def _ended_flight(self) -> list[Call]:
        batch, self._flight = self._flight, []
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        return batch

    def _settle(self, call: Call, result: Scores | FalajError) -> None:
        self.rows -= len(call.matrix)
        self.size_bytes -= call.matrix.nbytes
        call.answer(result)

    def _look_at_deadlines(self) -> None:
        self._look = None
        now_s = self._loop.time()
        late = Timeout("the Python model did not answer in time", hint="try again in a second")
        for call in self._flight:  # its rows stay counted until the process is done with them
            if call.deadline_s <= now_s:
                call.answer(late)
        if any(call.deadline_s <= now_s for call in self._waiting):
            waiting, self._waiting = self._waiting, deque()
            for call in waiting:
                if call.deadline_s <= now_s:
                    self._settle(call, late)
                else:
                    self._waiting.append(call)
        if self._flight or self._waiting:
            self._look = self._loop.call_later(_LOOK_S, self._look_at_deadlines)
        elif self._retired:
            self.close()

    def _lose_child(self) -> None:
        child, self._child = self._child, None
        self._runtime.ready = False
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        if child is not None:
            self._loop.remove_reader(child.socket)
            with contextlib.suppress(ValueError):
                self._loop.remove_writer(child.socket)
            self._unsent = memoryview(b"")
            self._received.clear()
            self._in_thread(child.kill, lambda _child, _error: None)

    def _restart(self, *, blamed: bool = False) -> None:
        self._lose_child()
        if self._retired and not self._waiting:
            self.close()
            return
        _log.error("the process of %s ended; its log is %s", self._runtime.place.name, self._runtime.log)
        self._stats.python_ends += 1
        now_s = self._loop.time()
        wait_s = self._backoff.after_end(now_s, blamed=blamed)
        self._due_s = now_s + wait_s
        self._loop.call_later(wait_s, self._start)

    def _start(self) -> None:
        if not self._closed:
            self._in_thread(self._runtime.start, self._started)

    def _started(self, child: Child | None, error: BaseException | None) -> None:
        if child is None:
            _log.error("%s does not start: %s", self._runtime.place.name, error)
            if not self._closed:
                self._restart()
        elif self._closed:
            self._in_thread(child.kill, lambda _child, _error: None)
        else:
            self._began(child)

    def _began(self, child: Child) -> None:
        child.socket.settimeout(0.0)
        self._child = child
        self._runtime.ready = True
        self._backoff.began(self._loop.time())
        self._loop.add_reader(child.socket, self._read)
        self._pump()
