"""ResponseCache: what a model version answered to the same inputs, for a time and in so much memory."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from falaj.definitions.cache import Cache
from falaj.serving.prediction_log import UNENCODABLE, plain

_ENTRY_BYTES = 250
"""What an answer takes besides its key: the dictionary's entry, the tuple, two numbers."""

_encode = msgspec.msgpack.Encoder(enc_hook=plain).encode


class Answer(NamedTuple):
    """What was answered.

    Attributes:
        expires_s: Until when it may be given again, on the monotonic clock.
        score: The model's output.
        unseen: The inputs that held a text which training never saw.
    """

    expires_s: float
    score: float
    unseen: tuple[str, ...]


class ResponseCache:
    """Answers of one version in one worker, by the values of its inputs; the oldest go first.

    Args:
        spec: For how long, and in how much memory.
        monotonic: Seconds.

    Example:
        >>> cache = ResponseCache(Cache("1s"), lambda: 0.0)
        >>> key = cache.key([1.0, None, "OM"])
        >>> cache.put(key, 0.25, ())
        >>> cache.find(key).score
        0.25
    """

    def __init__(self, spec: Cache, monotonic: Callable[[], float]) -> None:
        self._ttl_s = spec.ttl_s
        self._most_bytes = spec.max_mib << 20
        self._monotonic = monotonic
        self._answers: dict[bytes, Answer] = {}
        self.size_bytes = 0

    def key(self, values: Sequence[Any]) -> bytes | None:
        """Return what tells inputs from all others; None for inputs that cannot be written down."""
        try:
            return _encode(values)
        except UNENCODABLE:
            return None

    def find(self, key: bytes | None) -> Answer | None:
        """Return the answer to the inputs, if there is one that may be given again."""
        answer = None if key is None else self._answers.get(key)
        return answer if answer is not None and answer.expires_s > self._monotonic() else None

    def put(self, key: bytes | None, score: float, unseen: tuple[str, ...]) -> None:
        """Keep an answer, and forget the oldest ones where there is no room."""
        if key is None or len(key) + _ENTRY_BYTES > self._most_bytes:
            return
        self._forget(key)  # to the end: the order is that of answering
        self._answers[key] = Answer(self._monotonic() + self._ttl_s, score, unseen)
        self.size_bytes += len(key) + _ENTRY_BYTES
        while self.size_bytes > self._most_bytes:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: bytes) -> None:
        if self._answers.pop(key, None) is not None:
            self.size_bytes -= len(key) + _ENTRY_BYTES
