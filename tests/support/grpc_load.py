"""Steady load on a gateway over gRPC, by callers who know what each answer must be."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from support.gateway_load import Answer, asked_by
from support.grpc_client import INFER, MESSAGES, RawClient
from support.waiting import until


def request_of(number: int) -> bytes:
    """Return the message of the request of a number."""
    card, amount = asked_by(number)
    inputs = [
        {"name": "card_id", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [f"t{card}".encode()]}},
        {"name": "amount", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [float(amount)]}},
    ]
    message = MESSAGES.make("inference.ModelInferRequest", model_name="fraud", id=str(number), inputs=inputs)
    raw: bytes = message.SerializeToString()
    return raw


def answer_of(number: int, raw: bytes) -> Answer:
    """Return the decision in the answer to the request of a number.

    Raises:
        AssertionError: It is the answer to another one.
    """
    message = MESSAGES.type("inference.ModelInferResponse").FromString(raw)
    assert message.id == str(number), (number, message)
    (score,) = np.frombuffer(message.raw_output_contents[0], np.float64).tolist()
    parameters: Any = message.parameters
    told = parameters["request_ids"].string_param, int(message.model_version), score
    return Answer(*asked_by(number), *told, parameters["defaulted"].bool_param)


class GrpcLoad:
    """Callers that each ask about one card after another until told to stop, and note every answer.

    Args:
        port: Of the gateway.
        callers: How many ask at the same time, each on a connection of its own.

    Attributes:
        answered: The decisions that came.
        failures: What came instead of an answer.
        killing: Whether a worker is being killed: what it had, nobody was told of.
        cut_off: Requests that such a worker had.
    """

    def __init__(self, port: int, callers: int = 6) -> None:
        self._port = port
        self._callers = callers
        self._lock = threading.Lock()
        self._stopping = False
        self._number = 0
        self._thread = threading.Thread(target=self._run)
        self.answered: list[Answer] = []
        self.failures: list[str] = []
        self.killing = False
        self.cut_off: list[str] = []

    def __enter__(self) -> "GrpcLoad":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._thread.join()

    def reach(self, answers: int) -> None:
        """Return when so many more were answered, or one was not."""
        wanted = len(self.answered) + answers
        until(lambda: len(self.answered) >= wanted or bool(self.failures), f"{answers} more answers", within_s=60)

    def _run(self) -> None:
        with ThreadPoolExecutor(self._callers) as threads:
            for done in [threads.submit(self._caller) for _ in range(self._callers)]:
                done.result()

    def _caller(self) -> None:
        client = RawClient(self._port)
        while not self._stopping:
            with self._lock:
                number = self._number = self._number + 1
            try:
                answer = answer_of(number, client.raw(INFER, request_of(number)))
            except (grpc.RpcError, AssertionError) as error:
                killed = self.killing and isinstance(error, grpc.RpcError) and error.code().name == "UNAVAILABLE"
                (self.cut_off if killed else self.failures).append(str(error))
                # The channel may not have heard yet that its connection is gone, and lose the next request on it too.
                client.close()
                client = RawClient(self._port)
            else:
                self.answered.append(answer)
        client.close()
