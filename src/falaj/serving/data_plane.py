"""DataPlane: what the Open Inference Protocol asks for, below its transports.

HTTP and gRPC give it the same requests and get the same answers: a transport is a codec and its way to say an error.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from falaj.definitions.endpoint_options import EndpointOptions
from falaj.governance.access import is_allowed
from falaj.kernel.errors import FalajError, InputError, NotFound, Unavailable, Unsupported
from falaj.kernel.names import did_you_mean
from falaj.models.python.runtime import PythonRuntime
from falaj.serving.bare_model import BareModel
from falaj.serving.bare_models import BareModels
from falaj.serving.blocks import Block, Blocks
from falaj.serving.columns import columns_of, given_matrix, given_rows
from falaj.serving.deadline import deadline_of
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.intake import Instance, Intake, Receipt
from falaj.serving.metadata import Health, IndexEntry, ModelMetadata, ModelReady, bare_metadata, endpoint_metadata
from falaj.serving.model_statistics import ModelStatistics, statistics_of
from falaj.serving.readiness import UNLOADED
from falaj.serving.request_ids import RequestIds
from falaj.serving.rows import Job
from falaj.serving.snapshots import Snapshots
from falaj.serving.stats import read_stats
from falaj.serving.tensors import Tensor
from falaj.serving.variants import LoadedRoute, LoadedVariant

RAW = ":raw"
"""Behind an endpoint's name: the caller sends the features themselves."""

Finish = Callable[[InferenceAnswer | FalajError], None]
"""Gets the answer, or why there is none; called once, at once or later."""


class DataPlane:
    """The models: endpoints that decide on entities, endpoints that score features (`:raw`), and bare models.

    Args:
        snapshots: What serves.
        intake: Takes instances.
        blocks: Takes features in bulk.
        bare: Runs bare models.
        ids: Makes request ids.
        stats_folder: Writes this worker's counts and returns the folder of all workers' counts.

    Attributes:
        draining: Whether the worker is about to stop.
    """

    def __init__(
        self, snapshots: Snapshots, intake: Intake, blocks: Blocks, bare: BareModels, ids: RequestIds,
        stats_folder: Callable[[], Path],
    ) -> None:  # fmt: skip
        self._snapshots = snapshots
        self._intake = intake
        self._blocks = blocks
        self._bare = bare
        self._ids = ids
        self._stats_folder = stats_folder
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether routing and tokens are known, every endpoint was loaded, and the worker is not about to stop."""
        return self._snapshots.ready and not self.draining

    def health(self) -> Health:
        """Return the health of a worker to which requests should be sent.

        Raises:
            Unavailable: They should not, although it still serves while draining.
        """
        if not self.ready:
            raise Unavailable("draining" if self.draining else self._why_not_ready())
        return Health(live=True, ready=True)

    def _why_not_ready(self) -> str:
        absent = self._snapshots.serving.absent()
        if absent:
            return f"{UNLOADED} {', '.join(absent)}"  # without the reasons, since anybody may ask
        return "nothing was published to this gateway yet"

    def metadata(self, asked: str, version: str = "") -> ModelMetadata:
        """Return what a model takes and gives.

        Args:
            asked: Its name, with `:raw` for the features themselves.
            version: One that serves; empty for the one with most traffic.

        Raises:
            NotFound: There is no such model or version.
        """
        bare = self._bare_model(asked, version)
        if bare is not None:
            return bare_metadata(asked, bare)
        route, variant = self._endpoint(asked, version)
        return endpoint_metadata(asked, route, variant, raw=asked.endswith(RAW))

    def model_ready(self, asked: str, version: str = "") -> ModelReady:
        """Return that a model is ready: one that is found is loaded and warm, but for a Python one that starts anew.

        Raises:
            NotFound: There is no such model or version.
            Unavailable: The process of a Python model has ended, and no new one is ready yet.
        """
        self.metadata(asked, version)
        route = self._snapshots.serving.routes.get(asked.removesuffix(RAW))
        for variant in [] if route is None else route.live:
            chosen = version in ("", str(variant.spec.version))
            if chosen and isinstance(variant.runtime, PythonRuntime) and not variant.runtime.ready:
                raise Unavailable(f"the process of {asked!r} starts anew", hint="try again in a second")
        return ModelReady(asked)

    def statistics(self, asked: str, version: str, now_us: int) -> ModelStatistics:
        """Return how often and how long a model's versions decided, in all workers together.

        Args:
            asked: Its name.
            version: One that serves; empty for all that do.
            now_us: The present instant.
        """
        versions = self.metadata(asked, version).versions
        total = read_stats(self._stats_folder(), now_us).total
        series = [one for one in total.series if one.endpoint == asked.removesuffix(RAW)]
        wanted = (version,) if version else versions
        return ModelStatistics(tuple(statistics_of(asked, each, series) for each in wanted))

    def index(self, authorization: bytes | None, now_us: int) -> list[IndexEntry]:
        """Return the models that the caller may see."""
        serving = self._snapshots.serving
        actor = self._snapshots.guard.admit(authorization, "endpoint.read", "*", now_us)
        versions = {name: [str(v.spec.version) for v in route.live] for name, route in serving.routes.items()}
        versions |= {name: [str(model.spec.version)] for name, model in serving.bare.items()}
        return [
            IndexEntry(name, version, "READY", serving.failures.get(name, ""))
            for name in sorted(versions)
            if is_allowed(actor, "endpoint.read", name)
            for version in versions[name]
        ]

    def options(self, asked: str) -> EndpointOptions | None:
        """Return how an endpoint answers; None where there is none, or nothing is set."""
        route = self._snapshots.serving.routes.get(asked.removesuffix(RAW))
        return None if route is None else route.options

    def infer(
        self, asked: str, version: str, request: InferenceRequest, receipt: Receipt, authorization: bytes | None,
        finish: Finish, test: str | None = None,
    ) -> None:  # fmt: skip
        """Decide, score, or run a bare model.

        Args:
            asked: The model's name, with `:raw` for the features themselves.
            version: The version that decides, whatever the weights say; empty to leave it to them.
            request: What is asked.
            receipt: When and from whom; already admitted to `endpoint.predict`.
            authorization: For `at`, which needs an action of its own.
            finish: Gets the answer; what is raised here it does not get.
            test: The variant that decides, as a test, which needs an action of its own.

        Raises:
            FalajError: The request cannot be taken.
        """
        bare = self._bare_model(asked, version)
        if bare is not None:
            finish(self._bare.infer(bare, asked, request, receipt))
            return
        route, variant = self._endpoint(asked, version)
        if test is not None:
            action = "endpoint.predict_variant"
            self._snapshots.guard.admit(authorization, action, route.route.endpoint, receipt.received_us)
            variant = route.test(test)
        output = variant.spec.signature.output
        for wanted in request.outputs:
            if wanted.name != output:
                raise InputError(f"output {wanted.name[:80]!r} does not exist", hint=f"ask for {output!r}")
        if len(request.outputs) > 1:
            raise InputError(f"output {output!r} is asked for twice", hint="ask for it once")
        if asked.endswith(RAW) or not variant.takes_entities:
            self._score(asked, variant, request, receipt, finish)
            return
        instances = _instances(variant, request)
        if instances[0].at:
            self._snapshots.guard.admit(authorization, "endpoint.predict_at", route.route.endpoint, receipt.received_us)
        self._intake.decide(
            route, instances, receipt, lambda job: finish(_answer(job, asked, request, output)), version or None, test
        )

    def _score(
        self, asked: str, variant: LoadedVariant, request: InferenceRequest, receipt: Receipt, finish: Finish
    ) -> None:
        signature = variant.spec.signature
        if variant.ensemble is not None:
            raise Unsupported("an ensemble takes entities and request fields", hint="ask it without :raw")
        if variant.has_texts:
            rows = given_rows(signature, request.inputs)
            self._intake.score(
                variant, rows, receipt, lambda job: finish(_answer(job, asked, request, signature.output)), request.id
            )
            return
        matrix = given_matrix(signature, request.inputs)
        self._intake.check_count(len(matrix), receipt, variant.route.options.max_rows)
        request_id = self._ids.make(receipt.received_us)
        self._blocks.submit(
            Block(
                variant, request_id, request.id, matrix, receipt,
                lambda block: finish(_block_answer(block, asked, signature.output)),
                deadline_s=deadline_of(receipt.deadline_s, receipt.started_s, variant.route.options),
            )
        )  # fmt: skip

    def _bare_model(self, asked: str, version: str) -> BareModel | None:
        found = self._snapshots.serving.bare.get(asked.removesuffix(RAW))
        if found is not None:
            found.check_version(version)
        return found

    def _endpoint(self, asked: str, version: str) -> tuple[LoadedRoute, LoadedVariant]:
        name, serving = asked.removesuffix(RAW), self._snapshots.serving
        try:
            route = serving.route(name)
        except NotFound:  # in the words by which Triton's own clients and examples tell it
            raise NotFound(
                f"Request for unknown model: {name[:80]!r} is not found",
                hint=did_you_mean(name[:80], [*serving.routes, *serving.bare]),
            ) from None
        return route, route.version(version) if version else route.live[0]


def _instances(variant: LoadedVariant, request: InferenceRequest) -> list[Instance]:
    columns, rows = columns_of(request.inputs)
    at, unit = request.parameters.get("at", ""), request.parameters.get("unit", "")
    if not isinstance(at, str) or not isinstance(unit, str | int):
        raise InputError("parameters 'at' and 'unit' must be text", hint="send at like 2026-01-31T09:30:00Z")
    entity_names = {name for name, _ in variant.entities.fields}
    request_names = {name for name, _ in variant.request.fields}
    entities = {name: values for name, values in columns.items() if name in entity_names}
    # What is neither is left to the check of the request fields, whose error names it.
    fields = {name: values for name, values in columns.items() if name in request_names or name not in entity_names}
    return [
        Instance(
            {name: values[row] for name, values in entities.items()},
            {name: values[row] for name, values in fields.items()},
            request.id,
            unit,
            at,
        )
        for row in range(rows)
    ]


def _answer(job: Job, asked: str, request: InferenceRequest, output: str) -> InferenceAnswer | FalajError:
    if job.error is not None:
        return job.error
    rows = job.rows
    versions = {str(row.variant.spec.version) for row in rows}
    variants = [row.variant.spec.name for row in rows]
    parameters: dict[str, Any] = {
        "request_ids": ",".join(row.request_id for row in rows),
        "variant": variants[0] if len(set(variants)) == 1 else ",".join(variants),
        "defaulted": any(row.defaulted for row in rows),
    }
    scores = Tensor(output, "FP64", np.array([row.score for row in rows], np.float64))
    version = versions.pop() if len(versions) == 1 else ""
    return InferenceAnswer(asked, request.id or rows[0].request_id, [scores], parameters, version)


def _block_answer(block: Block, asked: str, output: str) -> InferenceAnswer | FalajError:
    if block.error is not None or block.scores is None:
        return block.error or FalajError("the gateway failed on this request")
    spec = block.variant.spec
    parameters: dict[str, str | bool] = {"block": block.request_id, "variant": spec.name, "defaulted": False}
    scores = Tensor(output, "FP64", block.scores)
    return InferenceAnswer(asked, block.client_id or block.request_id, [scores], parameters, str(spec.version))
