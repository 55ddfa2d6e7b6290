"""Steady load on a gateway, by callers on kept connections who know what each answer must be."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from support.serving_world import TOKEN
from support.telling_model import AMOUNTS, CARDS, score_of


class Answer(msgspec.Struct, frozen=True):
    """One decision, and what was asked.

    Attributes:
        card: The number of the card that was asked about.
        amount: The amount that was sent.
        request_id: The server's name for it.
        version: Which version decided.
        score: What it said.
        defaulted: Whether the features were not to be had.
    """

    card: int
    amount: int
    request_id: str
    version: int
    score: float
    defaulted: bool


_TOLERANCE = 1e-6
"""Between a library's own scores and those of the runtime that takes its place; a wrong row is off by far more."""


class _Body(msgspec.Struct):
    id: str = ""
    request_id: str = ""
    model_version: int = 0
    prediction: float = 0.0
    defaulted: bool = False
    error: str = ""


_read = msgspec.json.Decoder(_Body).decode


class Load:
    """Callers that each ask about one card after another until told to stop, and note every answer.

    An answer that is not for the request in whose place it came is a failure.

    Args:
        port: Of the gateway.
        callers: How many ask at the same time.
        pipelined: How many requests each sends before it reads their answers.

    Attributes:
        answered: The decisions that came, in their order.
        versions: Which versions decided.
        failures: What came instead of an answer.
        killing: Whether a worker is being killed: what it had, nobody was told of.
        cut_off: Requests that such a worker had.
        stopping: Whether to end.
    """

    def __init__(self, port: int, callers: int = 8, pipelined: int = 1) -> None:
        self._port = port
        self._callers = callers
        self._pipelined = pipelined
        self._numbers = itertools.count()
        self.answered: list[Answer] = []
        self.cut_off: list[str] = []
        self.killing = False
        self.versions: set[int] = set()
        self.failures: list[str] = []
        self.stopping = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._callers):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        while not self.stopping:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while not self.stopping and await self._ask(reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError) as error:
                if not self.stopping:
                    (self.cut_off if self.killing else self.failures).append(repr(error))
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        numbers = [next(self._numbers) for _ in range(self._pipelined)]
        writer.write(b"".join(map(request_of, numbers)))
        for number in numbers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = _read(await reader.readexactly(length))
            if b" 200 " not in head or body.id != str(number):
                self.failures.append(f"request {number}: {head!r} {body}")
            else:
                card, amount = asked_by(number)
                self.answered.append(
                    Answer(card, amount, body.request_id, body.model_version, body.prediction, body.defaulted)
                )
                self.versions.add(body.model_version)
            if b"connection: close" in head:
                return False  # what was sent behind it was not taken, and nobody was told of it
        return True

    async def reach(self, answers: int, such: Callable[[Answer], bool] | None = None) -> None:
        """Return when so many more were answered, such as are wanted.

        Raises:
            AssertionError: They did not come within a minute.
        """
        found, seen = 0, len(self.answered)
        try:
            async with asyncio.timeout(60):
                while found < answers:
                    await asyncio.sleep(0.005)
                    new = self.answered[seen:]
                    seen += len(new)
                    found += len(new) if such is None else sum(map(such, new))
        except TimeoutError:
            raise AssertionError(f"{found} of {answers} answers came: {self.failures[:3]}") from None


def asked_by(number: int) -> tuple[int, int]:
    """Return the card and the amount that a request of a number asks about."""
    return number * 7 % CARDS, number // CARDS % AMOUNTS


def request_of(number: int) -> bytes:
    """Return the bytes of the request of a number."""
    card, amount = asked_by(number)
    raw = b'{"entities":{"card_id":"t%d"},"request":{"amount":%d},"id":"%d"}' % (card, amount, number)
    return post(raw)


def post(raw: bytes) -> bytes:
    """Return a request to decide with this body."""
    head = b"POST /v1/endpoints/fraud/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n" % TOKEN.encode()
    return head + b"content-length: %d\r\n\r\n%b" % (len(raw), raw)


def told(answer: Answer) -> float:
    """Return what a telling model must have answered."""
    return score_of(answer.card, answer.amount, answer.version, defaulted=answer.defaulted)


def check_decisions(
    answers: Iterable[Answer], records: Iterable[Any], *, dropped: int = 0, score: Callable[[Answer], float] = told
) -> None:
    """Assert that every answer is that of its own card, amount and version, and stands in the log exactly once.

    Args:
        answers: What callers were told.
        records: The whole log.
        dropped: How many records the worker says it has lost, which it may to a full disk alone.
        score: What each answer must be.
    """
    answers = list(answers)
    by_id = {answer.request_id: answer for answer in answers}
    assert len(by_id) == len(answers) > 0
    logged = Counter(record.request_id for record in records)
    kept = {record.request_id: record for record in records}
    assert {request_id: times for request_id, times in logged.items() if times > 1} == {}
    lost = by_id.keys() - kept.keys()
    assert len(lost) == dropped, (len(lost), dropped)
    for request_id, answer in by_id.items():
        assert abs(answer.score - score(answer)) < _TOLERANCE, (answer, score(answer))
        if request_id in lost:
            continue
        record = kept[request_id]
        assert record.entities == {"card_id": f"t{answer.card}"}, (answer, record)
        assert record.request == {"amount": answer.amount}, (answer, record)
        found = (record.version, record.score, record.defaulted)
        assert found == (answer.version, answer.score, answer.defaulted), (answer, record)
