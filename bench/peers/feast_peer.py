"""Feast, asked from outside: starts `feast_worker.py` in the peer's environment and puts questions to it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).parent / "feast_worker.py"


class FeastFailed(Exception):
    """Feast raised; the message begins with the type of what it raised."""


class Feast:
    """A running Feast.

    Args:
        process: The worker.
        said: The file that its standard error goes to.
    """

    def __init__(self, process: "subprocess.Popen[str]", said: Path) -> None:
        self._process = process
        self._said = said

    def ask(self, do: str, **words: Any) -> dict[str, Any]:
        """Put one command, and return its answer.

        Raises:
            FeastFailed: Feast raised, or the worker ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise FeastFailed(f"the worker ended:\n{self._said.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FeastFailed(answer["error"])
        return answer


@contextmanager
def feast(python: Path, timezone: str = "UTC") -> Iterator[Feast]:
    """Run a Feast for as long as the block lasts.

    Args:
        python: The Python of its environment, as `make.python_of` gives it.
        timezone: The zone that its machine seems to be in.
    """
    with tempfile.TemporaryDirectory(prefix="falaj-feast-") as folder:
        said = Path(folder) / "said.txt"
        with said.open("w") as errors:
            process = subprocess.Popen(
                [str(python), str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"TZ": timezone, "PYTHONPATH": ""},
            )
            try:
                yield Feast(process, said)
            finally:
                process.communicate()  # the end of its input is its end
