"""A Python model that does whatever its rows say, for the tests of what becomes of the others."""

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from falaj.kernel.python_settings import PythonSettings
from falaj.models.python.package import PythonPackage
from falaj.models.python.place import PythonPlace
from falaj.models.python.runtime import PythonRuntime
from support.serving_world import TOKEN

HANG, RAISE, NAN, SHORT, EAT, EXIT, SLOW = 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0
"""What the first column asks for."""

CODE = b"""
import os
import sys
import time

import numpy as np


class Odd:
    def __init__(self, factor=1.0):
        self.factor = factor

    def load(self, folder):
        print("process", os.getpid(), "environment", sorted(os.environ), flush=True)

    def predict(self, matrix):
        first = matrix[:, 0]
        while (first == 13).any():
            pass
        if (first == 14).any():
            raise KeyError("fourteen")
        if (first == 16).any():
            return np.zeros(len(matrix) + 1)
        if (first == 17).any():
            return np.ones(1 << 28)
        if (first == 18).any():
            os._exit(3)
        if (first == 19).any():
            time.sleep(0.05)
        return np.where(first == 15, np.nan, matrix.sum(axis=1, dtype=np.float64) * self.factor)
"""


def package(factor: float = 1.0) -> PythonPackage:
    return PythonPackage("odd:Odd", {"factor": factor}, {"odd.py": CODE})


def settings(**changes: Any) -> PythonSettings:
    return PythonSettings(**({"timeout_ms": 300, "wait_ms": 10_000, "memory_mib": 1024, "load_s": 30.0} | changes))


def runtime(folder: Path, factor: float = 1.0, **changes: Any) -> PythonRuntime:
    return PythonRuntime(package(factor), 2, PythonPlace(folder, "odd-1", settings(**changes)))


def started(log: Path) -> list[int]:
    """The process ids that a log names, the oldest first."""
    return (
        [int(found) for found in re.findall(r"^process (\d+)", log.read_text(), re.MULTILINE)] if log.exists() else []
    )


def row(first: float, second: float = 2.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([[first, second]], np.float32)


class Callers:
    """Callers of one endpoint that each ask one thing after another until told to stop, and note every answer.

    An answer that is not the one to its own request is a failure.

    Args:
        port: The gateway's.
        endpoint: Its endpoint.
        body: What the request of a number holds.
        expected: What a version, the second argument, must answer to it.
        callers: How many ask at the same time.
    """

    def __init__(
        self, port: int, endpoint: str, body: Callable[[int], dict[str, Any]], expected: Callable[[int, int], float],
        callers: int = 8,
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._body = body
        self._expected = expected
        self._numbers = itertools.count()
        self._port = port
        self._callers = callers
        self.stopping = False
        self.answers: list[dict[str, Any]] = []
        self.failures: list[tuple[int, dict[str, Any]]] = []

    def asked(self, client_id: str) -> dict[str, Any]:
        """Return what was asked under an id."""
        return self._body(int(client_id))

    def request(self, number: int) -> bytes:
        """Return the bytes of the request of a number."""
        raw = json.dumps({**self._body(number), "id": str(number)}).encode()
        head = f"POST /v1/endpoints/{self._endpoint}/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        return f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._callers):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self.stopping:
            number = next(self._numbers)
            status, answer = await ask_on(reader, writer, self.request(number))
            if status == 200 and self._is_right(number, answer):
                self.answers.append(answer)
            else:
                self.failures.append((status, answer))
        writer.close()

    def _is_right(self, number: int, answer: dict[str, Any]) -> bool:
        expected = self._expected(number, answer["model_version"])
        return (answer["id"], answer["prediction"]) == (str(number), expected)

    async def reach(self, answers: int) -> None:
        """Return when so many more were answered."""
        wanted = len(self.answers) + answers
        async with asyncio.timeout(60):
            while len(self.answers) < wanted:
                await asyncio.sleep(0.01)


async def ask_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, dict[str, Any]]:
    """Send one request and return its status and answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split(b" ")[1]), json.loads(await reader.readexactly(length))
