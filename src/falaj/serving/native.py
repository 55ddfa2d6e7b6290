"""Native: our own JSON form for predictions, outcomes and features."""

import math
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from falaj.definitions.prediction_record import FeedbackRecord
from falaj.definitions.service_spec import ServiceSpec
from falaj.kernel.clock import parse_instant, to_us
from falaj.kernel.errors import InputError, NotFound, Unavailable
from falaj.kernel.names import did_you_mean
from falaj.serving.http import Exchange, Request
from falaj.serving.intake import VARIANT_HEADER, Instance, Intake, Receipt
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import FeatureReader
from falaj.serving.rows import Job, Row
from falaj.serving.snapshots import Snapshots
from falaj.serving.statuses import status_of
from falaj.serving.variant_router import Outcome

CLOCKS_DIFFER_US = 300_000_000
"""How far a caller's clock may be ahead of ours."""


class NativeAnswer(msgspec.Struct):
    """One decision, as callers read it.

    Attributes:
        request_id: Made by the server; feedback refers to it.
        prediction: The model's output.
        model: The model's name.
        model_version: The version that decided.
        variant: The variant's name.
        statuses: Stored feature to PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, or
            STORE_FAILED when a declared default stood in for it. Any input that holds a text which training never saw
            is UNSEEN_VALUE, request fields too.
        defaulted: Whether that happened.
        id: The caller's own id, when one was sent.
    """

    request_id: str
    prediction: float | None
    model: str
    model_version: int
    variant: str
    statuses: msgspec.Raw
    defaulted: bool
    id: str | msgspec.UnsetType = msgspec.UNSET


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """An outcome, as callers send it.

    Attributes:
        request_id: The decision it belongs to.
        outcome: 0 or 1, or false or true; any number where a model of the project is a regression.
        at: When it became known, RFC 3339; now by default.
    """

    request_id: str
    outcome: float | bool
    at: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """How many outcomes are in the log now."""

    accepted: int


class OnlineAnswer(msgspec.Struct):
    """Features of the present.

    Attributes:
        service: The feature service.
        at_us: T, in microseconds.
        columns: Stored feature columns.
        values: Per entity one value per column.
        statuses: Per entity one status per column.
        applied_seq: Per entity and view, the last `ingest_seq` applied.
    """

    service: str
    at_us: int
    columns: tuple[str, ...]
    values: list[list[Any]]
    statuses: list[list[str]]
    applied_seq: list[dict[str, int]]


_decode_instance = msgspec.json.Decoder(Instance).decode
_decode_instances = msgspec.json.Decoder(list[Instance]).decode
_decode_feedback = msgspec.json.Decoder(Feedback).decode
_decode_feedbacks = msgspec.json.Decoder(list[Feedback]).decode
_encode = msgspec.json.Encoder().encode


class NativeForm:
    """Handlers of the native routes.

    Args:
        snapshots: What serves.
        intake: Takes instances.
        log: Takes outcomes.
        reader: Fetches features.
    """

    def __init__(self, snapshots: Snapshots, intake: Intake, log: PredictionLog, reader: FeatureReader) -> None:
        self._snapshots = snapshots
        self._intake = intake
        self._log = log
        self._reader = reader

    def predict(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v1/endpoints/{name}/predict`: one instance, or a list of them."""
        route = self._snapshots.serving.route(name)
        instances, many = read_one_or_many(request.body, _decode_instance, _decode_instances)
        if any(instance.at for instance in instances):
            self._snapshots.guard.admit(
                request.headers.get(b"authorization"), "endpoint.predict_at", name, receipt.received_us
            )
        test = request.headers.get(VARIANT_HEADER)
        if test is not None:
            self._snapshots.guard.admit(
                request.headers.get(b"authorization"), "endpoint.predict_variant", name, receipt.received_us
            )

        def finish(job: Job) -> None:
            error = job.error
            if error is not None:
                exchange.fail(status_of(error.code), error.message, error.code, error.hint)
            elif many:
                exchange.respond(200, _encode([_answer(row) for row in job.rows]))
            else:
                exchange.respond(200, _encode(_answer(job.rows[0])))

        self._intake.decide(route, instances, receipt, finish, test=None if test is None else test.decode("latin-1"))

    def feedback(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v1/feedback`: one outcome, or a list of them; acknowledged when they are in the log."""
        del name
        items, _ = read_one_or_many(request.body, _decode_feedback, _decode_feedbacks)
        receipt.take_rows(len(items))
        numbers = self._snapshots.serving.numbers
        records = [_feedback_record(at, item, receipt, numbers=numbers) for at, item in enumerate(items)]
        if not self._log.append(records):
            raise Unavailable("the outcomes could not be written", hint="send them again later; the disk may be full")
        learners = self._snapshots.serving.learners
        if learners:
            outcomes = [Outcome(record.request_id, record.outcome, record.at_us) for record in records]
            for learner in learners:
                learner.tell(outcomes)
        exchange.respond(200, _encode(Accepted(len(records))))

    def online(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v1/features/online?service=NAME&KEY=VALUE`: stored features; repeat a key for more entities."""
        del name
        wanted: dict[str, list[str]] = {}
        for key, value in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True):
            wanted.setdefault(key, []).append(value)
        service_name = wanted.pop("service", [""])[0]
        at_us = receipt.received_us
        if "at" in wanted:
            authorization = request.headers.get(b"authorization")
            self._snapshots.guard.admit(authorization, "features.online_at", service_name, at_us)
            at_us = to_us(parse_instant(wanted.pop("at")[0]))
        service = self._service(service_name)
        entities = _entities(service, wanted)
        receipt.take_rows(len(entities))
        rows = self._reader.read(service, entities, [at_us] * len(entities))
        values = [row[: len(rows.columns)] for row in rows.values]
        answer = OnlineAnswer(service.name, at_us, rows.columns, values, rows.statuses, rows.applied_seq)
        exchange.respond(200, _encode(answer))

    def _service(self, name: str) -> ServiceSpec:
        services: dict[str, ServiceSpec] = {}
        for route in self._snapshots.serving.routes.values():
            for variant in route.live:
                if variant.service is not None:
                    services.setdefault(variant.service.name, variant.service)
        if name not in services:
            raise NotFound(
                f"no version that serves uses feature service {name[:80]!r}", hint=did_you_mean(name, services)
            )
        return services[name]


def read_one_or_many(body: bytes, one: Any, many: Any) -> tuple[list[Any], bool]:
    """Return the values of a JSON body, and whether it was a list.

    Raises:
        InputError: It is not JSON, or not of that shape.
    """
    try:
        if body.lstrip()[:1] == b"[":
            return many(body), True
        return [one(body)], False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"body: {error}", hint="send JSON of the documented shape") from None


def _answer(row: Row) -> NativeAnswer:
    spec = row.variant.spec
    return NativeAnswer(
        row.request_id,
        row.score,
        spec.model,
        spec.version,
        spec.name,
        row.variant.statuses_json(row.statuses),
        row.defaulted,
        row.client_id or msgspec.UNSET,
    )


def _feedback_record(number: int, item: Feedback, receipt: Receipt, *, numbers: bool) -> FeedbackRecord:
    if numbers and not math.isfinite(item.outcome):
        raise InputError(f"outcome {number}: {item.outcome} is not a finite number", hint="send a number")
    if not numbers and item.outcome not in (0, 1):
        raise InputError(f"outcome {number}: {item.outcome} is neither 0 nor 1", hint="send 0 or 1")
    if not 0 < len(item.request_id) <= 200:
        raise InputError(f"outcome {number}: request_id has {len(item.request_id)} characters", hint="send 1 to 200")
    at_us = receipt.received_us if item.at is None else to_us(parse_instant(item.at))
    if at_us > receipt.received_us + CLOCKS_DIFFER_US:
        raise InputError(f"outcome {number}: at {item.at} is in the future", hint="send when the outcome became known")
    return FeedbackRecord(item.request_id, float(item.outcome), at_us, receipt.received_us, receipt.actor)


def _entities(service: ServiceSpec, wanted: dict[str, list[str]]) -> list[dict[str, Any]]:
    keys = dict(service.entity_keys)
    for name in wanted:
        if name not in keys:
            raise InputError(f"{name[:80]!r} is no entity key of {service.name!r}", hint=did_you_mean(name, keys))
    lengths = {len(wanted.get(key, ())) for key in keys}
    if lengths == {0} or len(lengths) != 1:
        raise InputError(
            f"the entity keys {', '.join(keys)} need as many values each", hint="repeat each key once per entity"
        )
    columns = {key: [_typed(key, dtype, text) for text in wanted[key]] for key, dtype in keys.items()}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _typed(key: str, dtype: str, text: str) -> Any:
    if dtype != "int64":
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(f"entity key {key!r} must be int64, got {text[:80]!r}", hint="send a whole number") from None
