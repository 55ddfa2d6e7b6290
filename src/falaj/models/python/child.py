"""Child: one process with a user's class, from its start to its end, and the messages to and from it."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import FalajError, Timeout
from falaj.kernel.python_settings import PythonSettings
from falaj.models.python.host import DONE, FIT, HEADER, LOAD, PREDICT, SHAPE
from falaj.models.runtimes.port import Matrix, Scores
from falaj.storage.disk import failure

_HOST = Path(__file__).with_name("host.py")
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Child:
    """A running process. Nothing of the caller's environment, files or sockets reaches it but what is listed here.

    Args:
        folder: Its files and working folder.
        log: Takes what it prints.
        settings: Its limits.

    Attributes:
        socket: Our end; blocking until somebody says otherwise.
        pid: Its process id, and that of its process group.
        broken: Whether a call ended without an answer: it is of no use any more.

    Raises:
        StorageError: It cannot be started, or its log not be written.
    """

    def __init__(self, folder: Path, log: Path, settings: PythonSettings) -> None:
        self.socket, theirs = socket.socketpair()
        limits = {"memory_bytes": settings.memory_mib << 20, "processors": settings.processors}
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [settings.executable or sys.executable, "-I", "-B", "-u", str(_HOST), str(theirs.fileno()),
                     str(os.getpid()), json.dumps(limits)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    env=_environment(folder, settings.threads),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a process group of its own, ended as a whole
                )  # fmt: skip
        except OSError as error:
            self.socket.close()
            raise failure(error, "cannot start the process of a Python model") from error
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.broken = False

    def load(self, entry: str, params: Mapping[str, Any], folder: Path, timeout_s: float) -> None:
        """Make the class and let it load.

        Raises:
            FalajError: It raised, ended or took longer.
        """
        what = {"entry": entry, "params": dict(params), "folder": str(folder)}
        self._call(message(LOAD, json.dumps(what).encode()), timeout_s, "load")

    def fit(self, entry: str, params: Mapping[str, Any], folder: Path, matrix: Matrix, labels: NDArray[Any]) -> None:
        """Make the class and let it learn, for as long as it takes.

        Raises:
            FalajError: It raised or ended.
        """
        what = json.dumps(
            {"entry": entry, "params": dict(params), "folder": str(folder), "labels": labels.dtype.str}
        ).encode()
        parts = (SHAPE.pack(len(what), 0), what, matrix_bytes(matrix), labels.tobytes())
        self._call(message(FIT, b"".join(parts)), None, "fit")

    def predict(self, matrix: Matrix, timeout_s: float) -> Scores:
        """Return one score per row.

        Raises:
            FalajError: It raised, ended or took longer.
        """
        answer = self._call(message(PREDICT, matrix_bytes(matrix)), timeout_s, "predict")
        return np.frombuffer(answer, np.float64)

    def kill(self) -> None:
        """End it and all that it started, and wait until their memory is free."""
        self.socket.close()
        with contextlib.suppress(ProcessLookupError):  # it had ended, and was waited for
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _call(self, request: bytes, timeout_s: float | None, what: str) -> bytes:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self.socket.settimeout(timeout_s)
            self.socket.sendall(request)
            status, size = HEADER.unpack(self._exactly(HEADER.size, until))
            content = self._exactly(size, until)
        except TimeoutError:
            self.broken = True
            raise Timeout(f"{what} of a Python model took longer than {timeout_s} s") from None
        except OSError:
            self.broken = True
            raise ended(what) from None
        if status != DONE:
            raise raised(content, what)
        return content

    def _exactly(self, size: int, until: float | None) -> bytes:
        parts: list[bytes] = []
        while size:
            if until is not None and not select.select([self.socket], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            part = self.socket.recv(min(size, 1 << 20))
            if not part:
                raise ConnectionResetError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def message(kind: int, content: bytes) -> bytes:
    """Return a message as it goes over the socket."""
    return HEADER.pack(kind, len(content)) + content


def matrix_bytes(matrix: Matrix) -> bytes:
    """Return a float32 matrix with its shape before it."""
    return SHAPE.pack(*matrix.shape) + matrix.tobytes()


def ended(what: str) -> FalajError:
    """Return the error of a process that ended in the middle of a call."""
    return FalajError(f"its Python process ended during {what}", hint="its log may say why")


def raised(content: bytes, what: str, *, to_caller: bool = False) -> FalajError:
    """Return what the user's code raised, as an error of ours.

    Args:
        content: What the process answered.
        what: What it was asked for.
        to_caller: Whether somebody reads it who only asks for decisions: the text may hold what is none of theirs.
    """
    told = json.loads(content)
    text = f": {told['text']}" if told["text"] and not to_caller else ""
    return FalajError(f"{what} of its Python code raised {told['kind']}{text}", hint="its log has the traceback")


def _environment(folder: Path, threads: int) -> dict[str, str]:
    own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return own | {"HOME": str(folder)} | dict.fromkeys(_THREADS, str(threads))
