"""Foreign columns: what a model from elsewhere calls its columns, read in a process of its own.

LightGBM and XGBoost read files of their own making. At one that is damaged, or was made up, they end the process or
never come back, and whoever asks is the process that serves the whole project.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import msgspec

from falaj.kernel.codec import to_json
from falaj.kernel.errors import DataError, FalajError, Unsupported
from falaj.models.mlflow_model import ForeignModel, Kind
from falaj.models.training.adopted import own_columns

MOST_S = 60
"""So long may reading take."""

_LEAST_MEMORY_BYTES = 4 << 30
_MEMORY_PER_BYTE = 16
"""What a reader may need is a multiple of the file; what is made up can ask for any amount."""

_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from falaj.models.training.foreign_columns import main; main(sys.argv[2])"
)


class _Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process found: columns, or why it found none."""

    columns: tuple[str, ...] = ()
    refused: str = ""
    hint: str = ""
    unsupported: bool = False


def columns_apart(foreign: ForeignModel) -> tuple[str, ...]:
    """Return the columns that a model's file names itself; empty where it names none.

    Raises:
        DataError: The file cannot be read, takes too long, or ends whoever reads it.
        Unsupported: Reading it would run code.
    """
    if foreign.kind == "onnx":
        return ()
    path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _START, path, foreign.kind],
            input=foreign.content,
            capture_output=True,
            env={**kept, "OMP_NUM_THREADS": "1"},
            timeout=MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _damaged(foreign.kind, f"it is not read within {MOST_S} s") from None
    try:
        told = msgspec.json.decode(done.stdout, type=_Told)
    except msgspec.DecodeError:
        said = [f"status {done.returncode}", *done.stderr.decode(errors="replace").strip().splitlines()]
        why = f"signal {-done.returncode}" if done.returncode < 0 else said[-1][:200]
        raise _damaged(foreign.kind, f"it ends the process that reads it ({why})") from None
    if told.refused:
        raise (Unsupported if told.unsupported else DataError)(told.refused, hint=told.hint)
    return told.columns


def main(kind: Kind) -> None:
    """Read the model from standard input, and say on standard output what came of it."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # LightGBM talks there
    content = sys.stdin.buffer.read()
    if sys.platform == "linux":
        memory = max(_LEAST_MEMORY_BYTES, _MEMORY_PER_BYTE * len(content))
        for what, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, MOST_S), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(what, (most, most))
    try:
        told = _Told(own_columns(ForeignModel(kind, content, (), None, {})))
    except FalajError as error:
        told = _Told(refused=error.message, hint=error.hint, unsupported=isinstance(error, Unsupported))
    with answer:
        answer.write(to_json(told))


def _damaged(kind: Kind, why: str) -> DataError:
    return DataError(f"the model is no sound file of {kind}: {why}", hint="log it again where it was trained")
