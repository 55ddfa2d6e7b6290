"""Open Inference Protocol V2 over HTTP: the `/v2` routes, in JSON and with binary tensors."""

import msgspec

from falaj.kernel.errors import FalajError
from falaj.serving.data_plane import DataPlane
from falaj.serving.http import Exchange, Request
from falaj.serving.inference import InferenceAnswer
from falaj.serving.intake import VARIANT_HEADER, Receipt
from falaj.serving.metadata import Health, ServerMetadata
from falaj.serving.rest_codec import HEADER, OCTETS, decode_request, encode_answer
from falaj.serving.statuses import status_of

_encode = msgspec.json.Encoder().encode


class OpenInference:
    """Handlers of the `/v2` routes.

    Args:
        plane: What answers.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def server(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2`: who answers."""
        del request, receipt, name
        exchange.respond(200, _encode(ServerMetadata()))

    def live(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/health/live`: whether the process works."""
        del request, receipt, name
        exchange.respond(200, _encode(Health(live=True, ready=self._plane.ready)))

    def health(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/health/ready`: whether new requests should be sent here; 503 while draining, still serving."""
        del request, receipt, name
        exchange.respond(200, _encode(self._plane.health()))

    def model(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/models/{name}[/versions/{version}]`: inputs and outputs."""
        del request, receipt
        exchange.respond(200, _encode(self._plane.metadata(*_named(name))))

    def model_ready(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/models/{name}[/versions/{version}]/ready`: whether it serves."""
        del request, receipt
        exchange.respond(200, _encode(self._plane.model_ready(*_named(name))))

    def statistics(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`GET /v2/models/{name}[/versions/{version}]/stats`: how often and how long."""
        del request
        exchange.respond(200, _encode(self._plane.statistics(*_named(name), receipt.received_us)))

    def index(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v2/repository/index`: the models that the caller may see."""
        del name
        authorization = request.headers.get(b"authorization")
        exchange.respond(200, _encode(self._plane.index(authorization, receipt.received_us)))

    def infer(self, request: Request, exchange: Exchange, receipt: Receipt, name: str) -> None:
        """`POST /v2/models/{name}[/versions/{version}]/infer`."""
        body = decode_request(request.body, request.headers.get(HEADER))

        def finish(answer: InferenceAnswer | FalajError) -> None:
            if isinstance(answer, FalajError):
                exchange.fail(status_of(answer.code), answer.message, answer.code, answer.hint)
                return
            try:
                encoded, json_length = encode_answer(answer, body)
            except FalajError as error:
                exchange.fail(status_of(error.code), error.message, error.code, error.hint)
                return
            if json_length is None:
                exchange.respond(200, encoded)
            else:
                exchange.respond(200, encoded, OCTETS, ((HEADER, b"%d" % json_length),))

        test = request.headers.get(VARIANT_HEADER)
        self._plane.infer(
            *_named(name), body, receipt, request.headers.get(b"authorization"), finish,
            None if test is None else test.decode("latin-1"),
        )  # fmt: skip


def _named(name: str) -> tuple[str, str]:
    asked, _, version = name.partition("\n")
    return asked, version
