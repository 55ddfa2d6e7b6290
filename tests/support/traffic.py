"""Steady traffic against an endpoint: callers on kept connections, every answer noted."""

import http.client
import itertools
import json
import threading
import time
from types import TracebackType
from typing import Any

from support.falaj_project import FalajProject
from support.tour import NOW
from support.waiting import until

_PAUSE_S = 0.004


class Traffic:
    """Asks about one card after another until the block ends.

    Args:
        project: The running project.
        amount: The request's amount.
        callers: How many ask at the same time.

    Attributes:
        answered: Every decision, with its `card`, in order of arrival.
        failures: Status and error of every other answer, and every broken connection.
    """

    def __init__(self, project: FalajProject, *, amount: float = 25.0, callers: int = 2) -> None:
        self.answered: list[dict[str, Any]] = []
        self.failures: list[tuple[int, str]] = []
        self._project = project
        self._amount = amount
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(callers)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def reach(self, more: int) -> None:
        """Wait until so many more answers have come, of whatever kind."""
        wanted = len(self.answered) + len(self.failures) + more
        until(lambda: len(self.answered) + len(self.failures) >= wanted, f"{more} more answers")

    def versions(self) -> set[int]:
        """The versions that decided."""
        return {answer["model_version"] for answer in self.answered}

    def by_card(self) -> dict[str, list[int]]:
        """Per card, the versions that decided about it, in order, repetitions left out."""
        found: dict[str, list[int]] = {}
        for answer in self.answered:
            versions = found.setdefault(answer["card"], [])
            if versions[-1:] != [answer["model_version"]]:
                versions.append(answer["model_version"])
        return found

    def _ask(self, number: int) -> None:
        head = {"authorization": f"Bearer {self._project.owner}", "content-type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._project.gateway_port, timeout=30)
        for turn in itertools.count(number, len(self._threads)):
            if self._stop.is_set():
                break
            card = f"c{turn % 150}"
            body = {"entities": {"card_id": card}, "request": {"amount": self._amount}, "at": NOW}
            try:
                connection.request("POST", "/v1/endpoints/fraud/predict", json.dumps(body), head)
                answer = connection.getresponse()
                found = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((0, repr(error)))
                connection.close()
                continue
            if answer.status == 200:
                self.answered.append({**found, "card": card})
            else:
                self.failures.append((answer.status, str(found["error"])))
            time.sleep(_PAUSE_S)  # a steady rate, not as many as the machine can bear
        connection.close()
