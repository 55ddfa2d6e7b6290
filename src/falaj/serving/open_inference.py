"""Open Inference Protocol V2 over HTTP: entity keys and request fields as named tensors, or features as they are."""

from typing import Any

import msgspec
import numpy as np

from falaj.governance.access import is_allowed
from falaj.kernel.errors import InputError, Unavailable
from falaj.kernel.version import __version__
from falaj.serving.columns import columns_of, given_matrix, given_rows
from falaj.serving.http import Exchange, Request
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.intake import Instance, Intake, Receipt
from falaj.serving.rest_codec import HEADER, OCTETS, decode_request, encode_answer
from falaj.serving.rows import Job
from falaj.serving.snapshots import Snapshots
from falaj.serving.statuses import status_of
from falaj.serving.tensors import DATATYPES, Tensor
from falaj.serving.variants import LoadedRoute, LoadedVariant

RAW = ":raw"
"""Behind an endpoint's name: the caller sends the features themselves."""


_encode = msgspec.json.Encoder().encode


class OpenInference:
    """Handlers of the `/v2` routes; a model of the protocol is an endpoint of ours.

    Args:
        snapshots: What serves.
        intake: Takes instances.
    """

    def __init__(self, snapshots: Snapshots, intake: Intake) -> None:
        self._snapshots = snapshots
        self._intake = intake
        self.draining = False

    def server(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2`: who answers."""
        del request, receipt, name
        extensions = ["model_repository", "binary_tensor_data"]
        exchange.respond(200, _encode({"name": "falaj", "version": __version__, "extensions": extensions}))

    def live(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/health/live`: whether the process works."""
        del request, receipt, name
        exchange.respond(200, _encode({"live": True, "ready": self.ready}))

    def health(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/health/ready`: whether new requests should be sent here; 503 while draining, still serving."""
        del request, receipt, name
        if not self.ready:
            raise Unavailable("draining" if self.draining else "nothing was published to this gateway yet")
        exchange.respond(200, _encode({"live": True, "ready": True}))

    @property
    def ready(self) -> bool:
        """Whether routing and tokens are known and the worker is not about to stop."""
        return self._snapshots.ready and not self.draining

    def model(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/models/{name}[/versions/{version}]`: inputs and outputs."""
        del request, receipt
        asked, route, variant, _ = self._find(name)
        exchange.respond(200, _encode(_metadata(asked, route, variant)))

    def model_ready(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/models/{name}[/versions/{version}]/ready`: a model that is found is loaded and warm."""
        del request, receipt
        asked, _, _, _ = self._find(name)
        exchange.respond(200, _encode({"name": asked, "ready": True}))

    def index(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v2/repository/index`: the models that the caller may see."""
        del name
        serving = self._snapshots.serving
        actor = self._snapshots.guard.admit(
            request.headers.get(b"authorization"), "endpoint.read", "*", receipt.received_us
        )
        listed: list[dict[str, str]] = []
        for endpoint, route in sorted(serving.routes.items()):
            if is_allowed(actor, "endpoint.read", endpoint):
                reason = serving.failures.get(endpoint, "")
                listed += [
                    {"name": endpoint, "version": str(v.spec.version), "state": "READY", "reason": reason}
                    for v in route.live
                ]
        exchange.respond(200, _encode(listed))

    def infer(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v2/models/{name}[/versions/{version}]/infer`."""
        asked, route, variant, version = self._find(name)
        body = decode_request(request.body, request.headers.get(HEADER))
        signature = variant.spec.signature
        for wanted in body.outputs:
            if wanted.name != signature.output:
                raise InputError(f"output {wanted.name[:80]!r} does not exist", hint=f"ask for {signature.output!r}")

        def finish(job: Job) -> None:
            _finish(job, exchange, asked, body, signature.output)

        if asked.endswith(RAW) or variant.service is None:
            numeric = all(spec.dtype != "string" for spec in signature.inputs)
            rows = given_matrix(signature, body.inputs).tolist() if numeric else given_rows(signature, body.inputs)
            self._intake.score(variant, rows, receipt, finish, body.id)
            return
        instances = _instances(variant, body)
        if instances[0].at:
            self._snapshots.guard.admit(
                request.headers.get(b"authorization"), "endpoint.predict_at", route.route.endpoint, receipt.received_us
            )
        self._intake.decide(route, instances, receipt, finish, version)

    def _find(self, name: str) -> tuple[str, LoadedRoute, LoadedVariant, str | None]:
        asked, _, version = name.partition("\n")
        route = self._snapshots.serving.route(asked.removesuffix(RAW))
        variant = route.version(version) if version else route.live[0]
        return asked, route, variant, version or None


def _instances(variant: LoadedVariant, body: InferenceRequest) -> list[Instance]:
    columns, rows = columns_of(body.inputs)
    at, unit = body.parameters.get("at", ""), body.parameters.get("unit", "")
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
            body.id,
            unit,
            at,
        )
        for row in range(rows)
    ]


def _finish(job: Job, exchange: Exchange, asked: str, body: InferenceRequest, output: str) -> None:
    error = job.error
    if error is not None:
        exchange.fail(status_of(error.code), error.message, error.code, error.hint)
        return
    rows = job.rows
    versions = {str(row.variant.spec.version) for row in rows}
    variants = [row.variant.spec.name for row in rows]
    parameters: dict[str, str | bool] = {
        "request_ids": ",".join(row.request_id for row in rows),
        "variant": variants[0] if len(set(variants)) == 1 else ",".join(variants),
        "defaulted": any(row.defaulted for row in rows),
    }
    scores = Tensor(output, "FP64", np.array([row.score for row in rows], np.float64))
    version = versions.pop() if len(versions) == 1 else ""
    send(exchange, InferenceAnswer(asked, body.id or rows[0].request_id, [scores], parameters, version), body)


def send(exchange: Exchange, answer: InferenceAnswer, request: InferenceRequest) -> None:
    """Answer in the form that the request asks for."""
    body, json_length = encode_answer(answer, request)
    if json_length is None:
        exchange.respond(200, body)
    else:
        exchange.respond(200, body, OCTETS, ((HEADER, b"%d" % json_length),))


def _metadata(asked: str, route: LoadedRoute, variant: LoadedVariant) -> dict[str, Any]:
    raw = asked.endswith(RAW) or variant.service is None
    signature = variant.spec.signature
    fields = (
        tuple((spec.name, spec.dtype) for spec in signature.inputs)
        if raw
        else tuple(dict.fromkeys((*variant.entities.fields, *variant.request.fields)))
    )
    return {
        "name": asked,
        "versions": [str(each.spec.version) for each in route.live],
        "platform": f"falaj_{variant.spec.artifact.runtime}",
        "inputs": [{"name": name, "datatype": DATATYPES[dtype], "shape": [-1]} for name, dtype in fields],
        "outputs": [{"name": signature.output, "datatype": "FP64", "shape": [-1]}],
    }
