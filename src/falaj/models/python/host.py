"""The program of a model's process: loads the user's class and answers matrices over a socket.

It runs by its path in an interpreter without Falaj, so that nothing but the standard library and NumPy stands between
the user's code and its own packages. The other side is `falaj.models.python.child`.
"""

import ctypes
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from typing import Any

import numpy as np

HEADER = struct.Struct("<IQ")
"""Before each message: what it is, and how many bytes follow."""

SHAPE = struct.Struct("<II")
"""Before a matrix: rows and columns, of float32, row by row."""

LOAD, PREDICT, FIT = 1, 2, 3
DONE, RAISED = 0, 1

_PR_SET_PDEATHSIG = 1
_LOG_BYTES = 16 << 20


def main(words: list[str]) -> None:
    """Answer until the other side is gone.

    Args:
        words: The socket's descriptor, the process that started this one, and the limits as JSON.
    """
    descriptor, parent, limits = int(words[0]), int(words[1]), json.loads(words[2])
    _die_with(parent)
    _limit(limits)
    connection = socket.socket(fileno=descriptor)
    model: Any = None
    while True:
        kind, payload = _receive(connection)
        if kind != PREDICT:
            model, answer = _guarded(_load if kind == LOAD else _fit, payload)
        else:
            _, answer = _guarded(_predict, payload, model)
        status, content = answer
        connection.sendall(HEADER.pack(status, len(content)) + content)
        _bound_log()


def _die_with(parent: int) -> None:
    # A model that hangs in C code would outlive a worker that was killed: nothing of Python runs to notice it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def _limit(limits: dict[str, int]) -> None:
    # What it allocates, not what it maps: libraries reserve far more addresses than they use.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(kind, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and limits["processors"]:
        mine = sorted(os.sched_getaffinity(0))
        first = os.getpid()  # not all models on the same ones
        os.sched_setaffinity(0, {mine[(first + i) % len(mine)] for i in range(limits["processors"])})


def _receive(connection: socket.socket) -> tuple[int, memoryview]:
    kind, size = HEADER.unpack(_exactly(connection, HEADER.size))
    return kind, _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> memoryview:
    content = memoryview(bytearray(size))
    got = 0
    while got < size:
        more = connection.recv_into(content[got:])
        if not more:
            os._exit(0)  # at once: what the user's code registered to run at the end could hang
        got += more
    return content


def _guarded(work: Any, *args: Any) -> tuple[Any, tuple[int, bytes]]:
    try:
        answered: tuple[Any, tuple[int, bytes]] = work(*args)
        return answered
    except Exception as error:  # noqa: BLE001 - the boundary: what the user's code raises is told, and it goes on
        traceback.print_exc()
        sys.stderr.flush()
        told = {"kind": type(error).__name__, "text": str(error)[:2000]}
        return None, (RAISED, json.dumps(told).encode())


def _load(payload: memoryview) -> tuple[Any, tuple[int, bytes]]:
    what = json.loads(bytes(payload))
    model = _made(what)
    model.load(what["folder"])
    return model, (DONE, b"")


def _fit(payload: memoryview) -> tuple[Any, tuple[int, bytes]]:
    size, rest = SHAPE.unpack_from(payload)[0], payload[SHAPE.size :]
    what = json.loads(bytes(rest[:size]))
    matrix, rest = _matrix(rest[size:])
    model = _made(what)
    model.fit(matrix, _labels(rest, what["labels"]), what["folder"])
    return model, (DONE, b"")


def _labels(raw: memoryview, dtype: str) -> Any:
    """Return 0 and 1 as int64, and the numbers of a regression as float64."""
    labels = np.frombuffer(raw, np.dtype(dtype))
    return labels.astype(np.int64 if labels.dtype == np.int8 else np.float64)


def _made(what: dict[str, Any]) -> Any:
    module, _, name = what["entry"].partition(":")
    sys.path.insert(0, what["folder"])
    return getattr(importlib.import_module(module), name)(**what["params"])


def _matrix(payload: memoryview) -> tuple[np.ndarray[Any, Any], memoryview]:
    rows, columns = SHAPE.unpack_from(payload)
    end = SHAPE.size + 4 * rows * columns
    return np.frombuffer(payload[SHAPE.size : end], np.float32).reshape(rows, columns), payload[end:]


def _predict(payload: memoryview, model: Any) -> tuple[Any, tuple[int, bytes]]:
    matrix, _ = _matrix(payload)
    scores = np.asarray(model.predict(matrix), np.float64)
    if scores.shape not in ((len(matrix),), (len(matrix), 1)):
        raise ValueError(f"predict gave scores of shape {scores.shape} for {len(matrix)} rows")
    return model, (DONE, scores.tobytes())


def _bound_log() -> None:
    if os.fstat(2).st_size > _LOG_BYTES:
        sys.stdout.flush()
        os.ftruncate(2, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
