"""Replay: history against an endpoint. Each event is decided on as of its own instant, then pushed.

Rows of a timeless source are decided on in the order of the file, as of now.
"""

import heapq
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from falaj.app.client import Client
from falaj.app.values.source import Push, Pushed
from falaj.definitions.endpoint import Endpoint
from falaj.definitions.source import Follow, Source
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.codec import from_json
from falaj.kernel.errors import InputError, Unavailable, error_by_code
from falaj.storage.disk import chosen_path

PUSH_TOGETHER = 20
"""Events pushed at once; a decision sees all but the last few events before it."""


class Stream(NamedTuple):
    """Events of one source.

    Attributes:
        source: The definition.
        file: JSON lines in order of time.
        decides: Whether each event asks for a decision first.
    """

    source: Source
    file: Path
    decides: bool


class ReplayReport(msgspec.Struct, frozen=True):
    """What a replay did.

    Attributes:
        decisions: Answers received.
        failed: Requests that were answered with an error.
        events: Events accepted by their sources.
        quarantined: Events that were refused, with reasons.
        p50_ms: Median time from request to answer, seen from here.
        p99_ms: 99th percentile of it.
        seconds: How long the replay took.
        per_version: Version to number of answers.
    """

    decisions: int
    failed: int
    events: int
    quarantined: int
    p50_ms: float | None
    p99_ms: float | None
    seconds: float
    per_version: dict[str, int]


class Replay:
    """Replays events against an endpoint.

    Args:
        client: The project's client; control and gateway must run.
        endpoint: The endpoint's definition: its features say which columns are keys and which are request fields.
        on_event: Called with the number of events done so far.
    """

    def __init__(
        self, client: Client, endpoint: Endpoint, on_event: Callable[[int], None] = lambda _done: None
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._on_event = on_event
        service = endpoint.model.features
        self._keys = [key for view in service.views for key, _ in view.keys]
        self._fields = [field.name for field in service.request_fields]
        gateway = client.settings.gateway
        self._connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)
        self._latencies_ms: list[float] = []
        self._versions: dict[str, int] = {}
        self._failed = self._events = self._quarantined = 0

    def run(
        self, streams: list[Stream], answers: Path | None, *, skip: int = 0, limit: int | None = None, rate: float = 0.0
    ) -> ReplayReport:
        """Replay the streams, merged by time.

        Args:
            streams: What to replay.
            answers: Where to write one JSON line per decision: request id, the event's id, version, prediction.
            skip: Leave out so many events first.
            limit: Stop after so many events.
            rate: Events per second at the most; 0 for as fast as they are answered.

        Raises:
            InputError: A source takes no pushes; a line is no JSON object or has no timestamp; or the answers cannot be
                written.
            Unavailable: The gateway does not answer.
        """
        _refuse_followed(streams)
        began = time.monotonic()
        waiting: dict[str, list[dict[str, Any]]] = {stream.source.name: [] for stream in streams}
        out = _open(answers) if answers is not None else None
        try:
            for done, (stream, event) in enumerate(merged(streams, skip, limit), 1):
                _keep_rate(began, done, rate)
                if stream.decides:
                    self._decide(stream.source, event, out)
                if stream.source.stream is not None:
                    waiting[stream.source.name].append(event)
                if sum(map(len, waiting.values())) >= PUSH_TOGETHER:
                    self._push(waiting)
                    self._on_event(done)
            self._push(waiting)
        finally:
            self._connection.close()
            if out is not None:
                out.close()
        return self._report(time.monotonic() - began)

    def _decide(self, source: Source, event: dict[str, Any], out: Any) -> None:
        body: dict[str, Any] = {
            "entities": {key: event.get(key) for key in self._keys},
            "request": {field: event.get(field) for field in self._fields},
        }
        if source.timestamp is not None:
            body["at"] = event[source.timestamp]
        began = time.perf_counter()
        status, answer = self._post(f"/v1/endpoints/{self._endpoint.name}/predict", body)
        self._latencies_ms.append((time.perf_counter() - began) * 1e3)
        if status != 200:
            if status in (400, 401, 403, 404):
                raise error_by_code(answer.get("code", ""), str(answer.get("error")), answer.get("hint", ""))
            self._failed += 1
            return
        version = str(answer["model_version"])
        self._versions[version] = self._versions.get(version, 0) + 1
        if out is not None:
            line = {
                "request_id": answer["request_id"],
                "event_id": event.get(source.id) if source.id else None,
                "at": body.get("at"),
                "model_version": answer["model_version"],
                "prediction": answer["prediction"],
            }
            out.write(msgspec.json.encode(line) + b"\n")

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._client.token or ''}"}
        for attempt in (1, 2):
            try:
                self._connection.request("POST", path, msgspec.json.encode(body), headers)
                response = self._connection.getresponse()
                return response.status, json.loads(response.read())
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()  # a worker that was replaced closes its idle connections
                if attempt == 2:
                    raise Unavailable(f"the gateway does not answer: {error}", hint="start it: falaj up") from None
        raise AssertionError

    def _push(self, waiting: dict[str, list[dict[str, Any]]]) -> None:
        for source, events in waiting.items():
            if events:
                answer = self._client.perform("source.push", Push(source, events, "applied"), Pushed)
                self._events += answer.accepted
                self._quarantined += len(answer.rejected)
                events.clear()

    def _report(self, seconds: float) -> ReplayReport:
        ordered = sorted(self._latencies_ms)

        def percentile(share: float) -> float | None:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

        return ReplayReport(
            len(ordered) - self._failed,
            self._failed,
            self._events,
            self._quarantined,
            percentile(0.5),
            percentile(0.99),
            seconds,
            self._versions,
        )


def merged(streams: list[Stream], skip: int = 0, limit: int | None = None) -> Iterator[tuple[Stream, dict[str, Any]]]:
    """Yield the streams' events in order of time; those of one instant in the order of streams and lines.

    Args:
        streams: What to merge.
        skip: Leave out so many first.
        limit: Stop after so many; None for all.

    Raises:
        InputError: A line is no JSON object or has no timestamp.
    """
    events = heapq.merge(*(_timed(i, stream) for i, stream in enumerate(streams)), key=lambda item: item[:3])
    for _, _, _, stream, event in itertools.islice(events, skip, None if limit is None else skip + limit):
        yield stream, event


def _timed(order: int, stream: Stream) -> Iterator[tuple[int, int, int, Stream, dict[str, Any]]]:
    column = stream.source.timestamp
    with stream.file.open("rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{stream.file} line {number}"
            event = from_json(line, dict[str, Any], what=where, hint="write one JSON object a line")
            at_us = number if column is None else _instant_us(event, column, where)
            yield at_us, order, number, stream, event


def _open(answers: Path) -> IO[bytes]:
    with chosen_path(answers):
        return answers.open("ab")


def _instant_us(event: dict[str, Any], column: str, where: str) -> int:
    value = event.get(column)
    if not isinstance(value, str):
        raise InputError(f"{where} has no text in {column!r}", hint="write the event's instant there, in RFC 3339")
    try:
        return to_us(parse_instant(value))
    except InputError as error:
        raise InputError(f"{where}: {column!r}: {error.message}", hint=error.hint) from None


def _keep_rate(began: float, done: int, rate: float) -> None:
    if rate > 0:
        ahead_s = done / rate - (time.monotonic() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)


def _refuse_followed(streams: Sequence[Stream]) -> None:
    for stream in streams:
        if isinstance(stream.source.stream, Follow):
            raise InputError(
                f"source {stream.source.name!r} takes no pushes: it follows {stream.source.stream.path}",
                hint="replay into a project that declares it with stream=fj.Push()",
            )
