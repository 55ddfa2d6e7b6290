"""Span export: finished traces to an OpenTelemetry collector, by OTLP over HTTP, in batches, beside the loop."""

import http.client
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from falaj.kernel.clock import Clock
from falaj.serving.beside import Beside
from falaj.serving.spans import Trace, export_request

_RETRYABLE = frozenset((429, 502, 503, 504))
"""What OTLP says may be tried again; anything else that is no success stays what it is."""

_WARN_EVERY_S = 10.0
_PAUSE_S = 1.0
_LONGEST_WAIT_S = 30.0

_log = logging.getLogger("falaj.serving.span_export")


class _Answer(msgspec.Struct):
    status: int
    retry_after_s: float | None = None
    body: bytes = b""


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: str | int = 0


class _ExportAnswer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess = msgspec.field(default_factory=_PartialSuccess)


class SpanExport:
    """Sends traces; drops and counts what a collector does not take in time.

    Args:
        url: The collector's, such as `http://127.0.0.1:4318/v1/traces`.
        worker: Which worker this is.
        clock: So that a collector that is away is said every ten seconds.
        headers: Sent along, such as a token.
        timeout_s: How long one attempt may take.
        tries: Attempts for one batch.
        first_wait_s: Before the second attempt; doubled before each further one.
        pause_s: How long traces are gathered.
        size: Traces that may wait.
    """

    def __init__(
        self, url: str, worker: str, clock: Clock, headers: Mapping[str, str] = {}, *, timeout_s: float = 5.0,
        tries: int = 5, first_wait_s: float = 1.0, pause_s: float = _PAUSE_S, size: int = 4096,
    ) -> None:  # fmt: skip
        self._url = urlsplit(url)
        self._worker = worker
        self._clock = clock
        self._headers = {"content-type": "application/json", **headers}
        self._timeout_s = timeout_s
        self._tries = tries
        self._first_wait_s = first_wait_s
        self._warned_s = -_WARN_EVERY_S
        self._queue: Beside[Trace] = Beside("export-spans", self._export, pause_s=pause_s, size=size)

    @property
    def exported(self) -> int:
        """Traces that a collector has taken."""
        return self._queue.done

    @property
    def dropped(self) -> int:
        """Traces lost: no room, or refused, or a collector that stayed away."""
        return self._queue.dropped

    def offer(self, trace: Trace) -> None:
        """Take a trace to export; never waits."""
        self._queue.offer(trace)

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, with one attempt each."""
        self._queue.close(timeout_s)

    def _export(self, traces: list[Trace]) -> int:
        body = export_request(traces, self._worker)
        wait_s, reason = self._first_wait_s, ""
        for attempt in range(1, self._tries + 1):
            answer, reason = self._post(body)
            if answer is not None and answer.status < 300:
                return min(len(traces), _rejected(answer.body))
            last = attempt == self._tries or self._queue.stopping.is_set()
            if last or (answer is not None and answer.status not in _RETRYABLE):
                break
            asked_s = None if answer is None else answer.retry_after_s
            self._queue.stopping.wait(min(asked_s if asked_s is not None else wait_s, _LONGEST_WAIT_S))
            wait_s *= 2
        self._warn(len(traces), reason)
        return len(traces)

    def _post(self, body: bytes) -> tuple[_Answer | None, str]:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        try:
            connection.request("POST", self._url.path or "/v1/traces", body, self._headers)
            response = connection.getresponse()
            raw = response.read(65_536)
        except (OSError, http.client.HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        after = response.getheader("retry-after", "")
        return _Answer(response.status, float(after) if after.isdigit() else None, raw), f"status {response.status}"

    def _warn(self, traces: int, reason: str) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            place = f"{self._url.hostname}:{self._url.port or ''}"
            _log.error("%d traces dropped: the collector at %s did not take them (%s)", traces, place, reason)


def _rejected(body: bytes) -> int:
    try:
        return int(msgspec.json.decode(body, type=_ExportAnswer).partial_success.rejected_spans)
    except (msgspec.DecodeError, ValueError):
        return 0
