"""A step in a process of its own: one JSON request on standard input, one JSON result in a file, no pickle.

Started by `falaj.pipelines.executors` only, as the leader of its own process group. It loads no SQL by itself, so that
it starts in a fraction of a second.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec

from falaj.kernel.codec import to_json
from falaj.kernel.secret import hide
from falaj.pipelines.attempt import Result, attempt, load
from falaj.pipelines.context import EndState, StepContext


class ChildResources(msgspec.Struct, frozen=True):
    """How a child makes the resources that its parent cannot hand over.

    Attributes:
        factory: `module:qualname` of a function that takes the configuration and returns `context.resources`.
        config: Plain JSON values.
    """

    factory: str
    config: dict[str, Any] = {}


class ChildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is told; the fields are those of `StepContext` as plain values."""

    function: str
    run_id: str
    step: str
    attempt: int
    params: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    folder: str
    checkpoint: str
    files: dict[str, str]
    result_file: str
    progress_file: str
    arguments: dict[str, Any] | None = None
    secrets: str | None = None
    resources: ChildResources | None = None
    memory_bytes: int | None = None
    before: str = ""
    after: str = ""


class ChildProgress(msgspec.Struct, frozen=True):
    """How far the step is: 0 to 1, and what it is doing."""

    share: float
    text: str


class ChildResult(msgspec.Struct, frozen=True):
    """What the parent reads: the result with its files named apart from its plain values."""

    result: Result
    files: dict[str, str]


class Hiding:
    """A text stream in which secrets stand as `***`.

    Args:
        stream: Where the text goes.
        hidden: The secrets' values; it may grow.
    """

    def __init__(self, stream: TextIO, hidden: list[str]) -> None:
        self._stream = stream
        self._hidden = hidden

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        self._stream.write(hide(text, self._hidden))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def main() -> None:
    """Run the step that standard input describes."""
    pipe = _detach_input()
    request = msgspec.json.decode(_read_line(pipe), type=ChildRequest)
    threading.Thread(target=_die_with_parent, args=(pipe,), daemon=True).start()
    carry_out(request)


def carry_out(request: ChildRequest) -> Result:
    """Call the step function in this process, and write what came of it into the result file."""
    if request.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    hidden: list[str] = []
    sys.stdout, sys.stderr = Hiding(sys.stdout, hidden), Hiding(sys.stderr, hidden)
    if request.before:
        load(request.before)()
    result = attempt(request.function, lambda: _context(request, hidden), _cpu_seconds)
    files = {name: str(value) for name, value in result.outputs.items() if isinstance(value, Path)}
    plain = {name: value for name, value in result.outputs.items() if name not in files}
    _write(request.result_file, ChildResult(msgspec.structs.replace(result, outputs=plain), files))
    if request.after:  # what goes wrong from here on is told in the log, and takes no result away
        load(request.after)(succeeded=result.state is EndState.SUCCEEDED)
    return result


def _open_resources(asked: ChildResources | None) -> Any:
    return None if asked is None else load(asked.factory)(asked.config)


def _context(request: ChildRequest, hidden: list[str]) -> StepContext:
    return StepContext(
        run_id=request.run_id,
        step=request.step,
        attempt=request.attempt,
        params=request.params,
        inputs=request.inputs,
        folder=Path(request.folder),
        checkpoint=Path(request.checkpoint),
        files={digest: Path(path) for digest, path in request.files.items()},
        arguments=request.arguments,
        secrets=None if request.secrets is None else Path(request.secrets),
        hidden=hidden,
        open_resources=partial(_open_resources, request.resources),
        report=_reporter(request.progress_file),
    )


def _reporter(file: str, every_s: float = 0.1) -> Callable[[float, str], None]:
    last = -every_s

    def report(share: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_s or share >= 1.0:
            last = now
            _write(file, ChildProgress(share, text))

    return report


def _write(file: str, value: msgspec.Struct) -> None:
    """Write so that a reader sees all of it or nothing."""
    path = Path(file)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(to_json(value), encoding="utf-8")
    temporary.replace(path)


def _detach_input() -> int:
    """Move the parent's pipe away from standard input, where the step's own programs could read it."""
    private = os.dup(0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return private


def _read_line(pipe: int) -> bytes:
    # Bare reads, no buffered file: the thread below blocks in one when the interpreter ends, which must not wait.
    parts = [os.read(pipe, 1 << 16)]
    while parts[-1] and not parts[-1].endswith(b"\n"):
        parts.append(os.read(pipe, 1 << 16))
    return b"".join(parts)


def _die_with_parent(pipe: int) -> None:
    """Kill this group when the parent's end of the pipe closes: an orphan must not work beside its successor."""
    os.read(pipe, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _cpu_seconds() -> float:
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime
