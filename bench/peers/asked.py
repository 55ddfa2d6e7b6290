"""A peer, asked from outside: starts its worker in the peer's environment and puts questions to it."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class PeerFailed(Exception):
    """The peer raised; the message begins with the type of what it raised."""


class Asked:
    """A running worker: one command a line in, one answer a line out, both JSON.

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
            PeerFailed: The peer raised, or the worker ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerFailed(f"the worker ended:\n{self._said.read_text()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(answer["error"])
        return answer


@contextmanager
def asked(python: Path, worker: Path, environment: Mapping[str, str] | None = None) -> Iterator[Asked]:
    """Run a worker for as long as the block lasts.

    Args:
        python: The Python of its environment, as `make.python_of` gives it.
        worker: Its script.
        environment: Variables besides those of this process.
    """
    with tempfile.TemporaryDirectory(prefix="falaj-peer-") as folder:
        said = Path(folder) / "said.txt"
        with said.open("w") as errors:
            process = subprocess.Popen(
                [str(python), str(worker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PYTHONPATH": ""} | dict(environment or {}),
            )
            try:
                yield Asked(process, said)
            finally:
                process.communicate()  # the end of its input is its end
