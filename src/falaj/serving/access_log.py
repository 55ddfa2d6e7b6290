"""Access log: one JSON line for each answer, or for a share of them; without tokens, bodies, queries or entity keys."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.clock import Clock, from_us, rfc3339
from falaj.serving.beside import Beside

_PAUSE_S = 0.5
_WARN_EVERY_S = 10.0

_log = logging.getLogger("falaj.serving.access_log")


class Access(msgspec.Struct, gc=False):
    """One answer.

    Attributes:
        at_us: When the request was received, in microseconds since 1970.
        method: Of the request; GRPC for that protocol, in capitals like the others.
        route: The pattern of its path, such as `/v1/endpoints/{name}/predict`; empty where there is none.
        name: What stood for the name: an endpoint or a model.
        actor: Who asked, by name; empty where nobody was let in.
        status: Of the answer, by HTTP's table for gRPC too, so that one query finds the failures of both.
        in_bytes: The request's body or message.
        out_bytes: The answer's.
        spent_us: From receipt to answer.
        gone: Whether the client had left before it.
        trace_id: The trace it belongs to; empty for none.
        steps_us: Step to microseconds, where they were measured.
        grpc_status: The name of gRPC's status code; empty for HTTP.
    """

    at_us: int
    method: str
    route: str
    name: str
    actor: str
    status: int
    in_bytes: int
    out_bytes: int
    spent_us: int
    gone: bool
    trace_id: str
    steps_us: dict[str, int]
    grpc_status: str = ""


class AccessLog:
    """Writes lines to a file that is rotated, or to standard error, from a thread of its own.

    Args:
        path: The file; None for standard error.
        worker: Which worker writes.
        clock: So that a full disk is said every ten seconds.
        max_bytes: Size at which the file becomes `NAME.1`, the one before it `NAME.2`, and so on.
        keep: How many of those stay.
        pause_s: How long lines are gathered.
        size: Lines that may wait.
    """

    def __init__(
        self, path: Path | None, worker: str, clock: Clock, *, max_bytes: int = 64 << 20, keep: int = 4,
        pause_s: float = _PAUSE_S, size: int = 65_536,
    ) -> None:  # fmt: skip
        self._path = path
        self._worker = worker
        self._clock = clock
        self._max_bytes = max_bytes
        self._keep = keep
        self._warned_s = -_WARN_EVERY_S
        self._encoder = msgspec.json.Encoder()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._queue: Beside[Access] = Beside("access-log", self._write, pause_s=pause_s, size=size)

    @property
    def written(self) -> int:
        """Lines written."""
        return self._queue.done

    @property
    def dropped(self) -> int:
        """Lines lost: no room in the queue or on the disk."""
        return self._queue.dropped

    def offer(self, access: Access) -> None:
        """Take an answer to write down; never waits."""
        self._queue.offer(access)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits."""
        self._queue.close(timeout_s)

    def _write(self, lines: list[Access]) -> int:
        data = b"".join(self._encoder.encode(_line(access, self._worker)) + b"\n" for access in lines)
        try:
            if self._path is None:
                sys.stderr.buffer.write(data)
                sys.stderr.buffer.flush()
            else:
                self._append(self._path, data)
        except (OSError, ValueError) as error:
            now_s = self._clock.monotonic()
            if now_s - self._warned_s >= _WARN_EVERY_S:
                self._warned_s = now_s
                _log.error("the access log cannot be written, %d lines dropped: %s", len(lines), error)
            return len(lines)
        return 0

    def _append(self, path: Path, data: bytes) -> None:
        # Opened each time: whoever rotates by other means finds no file held open.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            if os.write(fd, data) != len(data):
                os.ftruncate(fd, size)
                raise OSError(28, "No space left on device")
        finally:
            os.close(fd)
        if size + len(data) >= self._max_bytes:
            self._rotate(path)

    def _rotate(self, path: Path) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        if self._keep:
            path.replace(path.with_name(f"{path.name}.1"))
        else:
            path.unlink()


def _line(access: Access, worker: str) -> dict[str, Any]:
    line: dict[str, Any] = {
        "at": rfc3339(from_us(access.at_us)),
        "worker": worker,
        "method": access.method,
        "route": access.route,
        "name": access.name,
        "actor": access.actor,
        "status": access.status,
        "in_bytes": access.in_bytes,
        "out_bytes": access.out_bytes,
        "spent_us": access.spent_us,
    }
    if access.grpc_status:
        line["grpc_status"] = access.grpc_status
    if access.gone:
        line["gone"] = True
    if access.trace_id:
        line["trace_id"] = access.trace_id
    if access.steps_us:
        line["steps_us"] = access.steps_us
    return line
