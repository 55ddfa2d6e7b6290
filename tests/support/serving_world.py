"""A gateway in memory: everything of a worker but the socket, the clock and the model file."""

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from falaj.definitions.aggregation import count, last, mean
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService, request
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.on_demand import on_demand
from falaj.definitions.prediction_record import LogRecord
from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, RoutingTable, Variant
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import InputSpec, Signature
from falaj.definitions.source import Push, Source
from falaj.features.compile import compile_service
from falaj.features.materialise import apply_batch
from falaj.features.online import OnlineReader, OnlineRows
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.kernel.clock import ManualClock
from falaj.kernel.codec import from_msgpack, to_msgpack
from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import CorruptionError, FalajError
from falaj.models.runtimes.port import Matrix, Scores
from falaj.models.runtimes.tensors import TensorRuntime
from falaj.serving.access_log import AccessLog
from falaj.serving.aged_readers import AgedReaders
from falaj.serving.application import Gateway
from falaj.serving.bare_models import BareModels
from falaj.serving.batching import Batcher
from falaj.serving.blocks import Blocks
from falaj.serving.buckets import Buckets
from falaj.serving.data_plane import DataPlane
from falaj.serving.http import HttpServer
from falaj.serving.intake import Intake
from falaj.serving.native import NativeForm
from falaj.serving.observer import Observer, Tracing
from falaj.serving.open_inference import OpenInference
from falaj.serving.prediction_log import PredictionLog
from falaj.serving.predictor import Predictor
from falaj.serving.redaction import Redaction
from falaj.serving.request_ids import RequestIds
from falaj.serving.routing import HashRouter
from falaj.serving.rows import Job
from falaj.serving.shadows import Shadows
from falaj.serving.snapshots import Snapshots
from falaj.serving.stages import Stages
from falaj.serving.stats import WorkerStats
from falaj.serving.variant_router import RouterMaker
from falaj.serving.variants import LoadedVariant
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.snapshots import write_snapshots
from support.serving_http import MemoryTransport, read_answers

HOUR_US = 3_600_000_000
NOW_US = 1_000 * HOUR_US
SCHEMA = {"card_id": "string", "event_time": "timestamp", "amount": "float64", "country": "string"}
TOKEN = "flj_app"
OWNER = "flj_owner"


@on_demand(inputs=["request:amount", "activity:amount_mean"])
def amount_ratio(amount: Any, amount_mean: Any) -> Any:
    if (amount == 666).any():
        raise ZeroDivisionError("the number of the beast")
    return amount / np.maximum(np.nan_to_num(amount_mean), 1.0)


def fraud_service(schema: dict[str, str] = SCHEMA) -> ServiceSpec:
    source = Source("transactions", stream=Push(), timestamp="event_time", schema=schema)
    features = {
        "velocity": count(window="1h"),
        "amount_mean": mean("amount", window="24h"),
        "country": last("country", window="24h"),
    }
    view = FeatureView("activity", Entity("card", key="card_id"), source, features)
    service = FeatureService("fraud", [view, amount_ratio, request("amount", "float64")])
    return compile_service(service, {"transactions": schema})


SERVICE = fraud_service()
SIGNATURE = Signature(
    (
        InputSpec("activity__velocity", "int64", default=7.0),
        InputSpec("activity__amount_mean", "float64"),
        InputSpec("activity__country", "string", ("AE", "OM")),
        InputSpec("amount_ratio", "float64"),
        InputSpec("amount", "float64"),
    )
)
BARE = Signature((InputSpec("x", "float64"), InputSpec("y", "float64")))


def events(*rows: tuple[str, int, float, str]) -> pa.Table:
    """Events as (card, hours before now, amount, country)."""
    instants = [NOW_US - hours * HOUR_US for _, hours, _, _ in rows]
    times = pa.array(instants, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "card_id": [row[0] for row in rows],
            "event_time": times,
            "amount": [row[2] for row in rows],
            "country": [row[3] for row in rows],
            "_event_ts": times,
            "_created": pa.nulls(len(rows), pa.timestamp("us", "UTC")),
            "_ingest_seq": pa.array(range(1, len(rows) + 1), pa.int64()),
        }
    )


ONNX_FILES: dict[str, bytes] = {}


class SumRuntime:
    """A model that adds its inputs, NaN as 0, and the number of its version times a thousand."""

    asked: ClassVar[list[int]] = []
    """The rows of each question to any of them."""

    def __init__(self, features: int, version: int) -> None:
        self.features = features
        self._version = version

    def predict(self, matrix: Matrix) -> Scores:
        assert matrix.flags.c_contiguous
        self.asked.append(len(matrix))
        if (matrix == 13.0).any():
            raise MemoryError("the model is superstitious")
        scores: Scores = np.nansum(matrix.astype(np.float64), axis=1) + 1000.0 * self._version
        scores[(matrix == 14.0).any(axis=1)] = np.nan
        return scores


def load_sum(variant: Variant) -> SumRuntime | TensorRuntime:
    if variant.tensors is not None:
        return TensorRuntime(ONNX_FILES[variant.artifact.digest])
    if variant.artifact.digest == "damaged":
        raise CorruptionError("blob damaged does not have the bytes of its digest")
    if variant.artifact.digest == "explosive":
        raise RuntimeError("segmentation fault, nearly")
    return SumRuntime(len(variant.signature.inputs), variant.version)


def variant(
    name: str = "champion", version: int = 1, weight: int = 10_000, *, role: Any = "live", digest: str = "",
    signature: Signature = SIGNATURE, service: ServiceSpec | None = SERVICE,
) -> Variant:  # fmt: skip
    artifact = ArtifactRef(digest or f"digest-{version}", "onnx")
    return Variant(name, "fraud_model", version, weight, role, artifact, signature, service)


def route(*variants: Variant, endpoint: str = "fraud", epoch: int = 1, **more: Any) -> EndpointRoute:
    return EndpointRoute(endpoint, epoch, "salt", variants or (variant(),), **more)


def tensor_route(name: str, file: bytes, version: int = 1) -> EndpointRoute:
    """The route of a bare model made of an ONNX file."""
    digest = digest_bytes(file)
    ONNX_FILES[digest] = file
    tensors = TensorRuntime(file).signature
    spec = Variant("champion", name, version, 10_000, "live", ArtifactRef(digest, "onnx"), Signature(()), None, tensors)
    return route(spec, endpoint=name)


def bare_route() -> EndpointRoute:
    return route(variant("champion", 4, signature=BARE, service=None), endpoint="bare")


def tokens() -> TokenSnapshot:
    entries = {
        TOKEN: TokenEntry("tok_1", "app", Role.SERVICE, ("*",)),
        OWNER: TokenEntry("tok_2", "ada", Role.OWNER, ("*",)),
        "flj_narrow": TokenEntry("tok_3", "narrow", Role.SERVICE, ("endpoint.predict@other",)),
        "flj_old": TokenEntry("tok_4", "old", Role.OWNER, ("*",), expires_us=NOW_US),
    }
    return TokenSnapshot({hash_token(text): entry for text, entry in entries.items()})


class MemorySink:
    """Keeps records decoded."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.error: FalajError | None = None

    def write(self, records: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        self.records += [from_msgpack(raw, LogRecord) for raw in records]  # type: ignore[arg-type]

    def close(self) -> None:
        pass


class FailingReader:
    """The real reader, until it is told to fail."""

    def __init__(self, reader: OnlineReader) -> None:
        self._reader = reader
        self.error: FalajError | None = None
        self.damaged: set[str] = set()

    def read(self, spec: ServiceSpec, entities: Sequence[Any], at_us: Sequence[int]) -> OnlineRows:
        if self.error is not None:
            raise self.error
        if any(entity.get("card_id") in self.damaged for entity in entities):
            raise CorruptionError("entity record is damaged")
        return self._reader.read(spec, entities, at_us)


class World:
    """One gateway worker, driven by hand."""

    def __init__(
        self, *routes: EndpointRoute, publish: bool = True, max_rows: int = 100, max_queue: int = 200,
        buckets: Buckets | None = None,
        redaction_key: str = "key", tracing: Tracing | None = None, access: AccessLog | None = None,
        clock: ManualClock | None = None, make_router: RouterMaker[LoadedVariant] = HashRouter,
    ) -> None:  # fmt: skip
        self.clock = clock or ManualClock()
        self.now_us = NOW_US
        self.turns: list[Callable[[], None]] = []
        self.store = MemoryStore()
        self.sink = MemorySink()
        self.stats = WorkerStats(worker="gateway-0")
        self.log = PredictionLog(self.sink, self.clock)
        self.reader = FailingReader(OnlineReader(self.store))
        redaction = Redaction(redaction_key, self.stats)
        self.stages = stages = Stages(self.clock.monotonic)
        aged = AgedReaders(self.store, 0.0, self.clock.monotonic)
        self.predictor = Predictor(self.reader, self.log, self.stats, self.clock.monotonic, redaction, stages, aged)
        self.batcher = Batcher[Job](self._compute, self._failed, self.turns.append, max_rows=max_queue)
        self.shadow_thread: list[tuple[Callable[[], None], Callable[[], None]]] | None = None
        self.shadows = Shadows(self.predictor, self.stats, self.clock.monotonic, self.turns.append, self._aside, 50)
        self.snapshots = Snapshots(
            load_sum, lambda work, done: done(work()), self.stats, make_router=make_router, buckets=buckets
        )
        ids = RequestIds()
        intake = Intake(self.batcher, ids, self.stats, max_rows)
        blocks = Blocks(
            self.log,
            self.stats,
            self.predictor,
            self.clock.monotonic,
            self.turns.append,
            max_queue,
            redaction,
            stages,
        )
        bare = BareModels(self.log, self.stats, ids, self.clock.monotonic)
        self.plane = DataPlane(self.snapshots, intake, blocks, bare, ids, lambda: self._no_folder())
        native = NativeForm(self.snapshots, intake, self.log, self.reader)
        v2 = OpenInference(self.plane)
        observer = Observer(stages, self.now, self.clock.monotonic, tracing, access)
        self.app = Gateway(
            self.snapshots, native, v2, lambda: self._no_folder(), self.now, self.clock.monotonic, observer
        )
        self.server = HttpServer(self.app, self.clock)
        self.epoch = 0
        if publish:
            self.publish(*(routes or (route(),)))

    def now(self) -> int:
        return self.now_us

    def publish(self, *routes: EndpointRoute, snapshot: TokenSnapshot | None = None, numbers: bool = False) -> None:
        self.epoch += 1
        table = RoutingTable(self.epoch, {r.endpoint: r for r in routes}, numbers)
        contents = {"routing": to_msgpack(table), "tokens": to_msgpack(snapshot or tokens())}
        write_snapshots(self.store, contents, self.epoch)
        self.snapshots.poll(self.store)

    def ingest(self, *rows: tuple[str, int, float, str]) -> None:
        apply_batch(self.store, SERVICE.views, events(*rows), len(rows))

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, headers: str = ""
    ) -> tuple[int, Any]:
        """Send one request, let the loop turn until all is quiet, and return the answer."""
        return self.call_all([(method, path, body)], token, headers)[0]

    def call_all(
        self, calls: Sequence[tuple[str, str, Any]], token: str | None = TOKEN, headers: str = ""
    ) -> list[tuple[int, Any]]:
        """Send requests, each by a connection of its own, in one turn of the loop."""
        transports = []
        for method, path, body in calls:
            connection, transport = self.server.connect(), MemoryTransport()
            connection.connection_made(transport)
            connection.data_received(_request(method, path, body, token, headers))
            transports.append(transport)
        self.turn()
        answers = []
        for transport in transports:
            ((status, raw),) = read_answers(transport.written)
            answers.append((status, _value(raw)))
        return answers

    def predict(self, body: Any, endpoint: str = "fraud", token: str = TOKEN) -> tuple[int, Any]:
        return self.call("POST", f"/v1/endpoints/{endpoint}/predict", body, token)

    def turn(self) -> None:
        while self.turns:
            waiting, self.turns[:] = list(self.turns), []
            for work in waiting:
                work()

    def _compute(self, jobs: list[Job]) -> None:
        self.predictor.compute(jobs)
        for job in jobs:
            if job.shadows:
                self.shadows.submit(job)

    def _aside(self, work: Callable[[], None], done: Callable[[], None]) -> None:
        if self.shadow_thread is not None:
            self.shadow_thread.append((work, done))
        else:
            work()
            done()

    def _failed(self, _jobs: list[Job], error: Exception) -> None:
        raise error

    def _no_folder(self) -> Any:
        raise NotImplementedError


def ask(card: str | None = "c1", amount: Any = 10.0, **more: Any) -> dict[str, Any]:
    return {"entities": {"card_id": card}, "request": {"amount": amount}, **more}


def _request(method: str, path: str, body: Any, token: str | None, headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(raw)}\r\n{headers}"
    if token is not None:
        head += f"authorization: Bearer {token}\r\n"
    return head.encode() + b"\r\n" + raw


def _value(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw
