"""A gRPC client that sends and reads raw bytes, so that nothing of a client library hides what the server does."""

from collections.abc import Iterable
from typing import Any

import grpc

from falaj.serving.grpc.messages import INFERENCE, Messages
from support.serving_world import TOKEN

INFER = f"/{INFERENCE}/ModelInfer"
MESSAGES = Messages()
INFER = f"/{INFERENCE}/ModelInfer"
STREAM = f"/{INFERENCE}/ModelStreamInfer"


def fraud(amount: float = 10.0, id: str = "", card: bytes = b"c1", rows: int = 1, **more: Any) -> bytes:
    """A message that asks for a decision, or for several of the same."""
    inputs = [
        {"name": "card_id", "datatype": "BYTES", "shape": [rows], "contents": {"bytes_contents": [card] * rows}},
        {"name": "amount", "datatype": "FP64", "shape": [rows], "contents": {"fp64_contents": [amount] * rows}},
    ]
    message = MESSAGES.make(
        "inference.ModelInferRequest", **({"model_name": "fraud", "id": id, "inputs": inputs} | more)
    )
    raw: bytes = message.SerializeToString()
    return raw


def answered(raw: bytes) -> Any:
    """The answer of `ModelInfer`."""
    return MESSAGES.type("inference.ModelInferResponse").FromString(raw)


def streamed(raw: bytes) -> Any:
    """An answer of `ModelStreamInfer`."""
    return MESSAGES.type("inference.ModelStreamInferResponse").FromString(raw)


class RawClient:
    """One channel to a server.

    Args:
        port: On loopback.
        token: What it sends; None for no token.
        sent: Further metadata; what stands for a hyphen in a name is an underscore.
    """

    def __init__(self, port: int, token: str | None = TOKEN, **sent: str) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        self.metadata += [(name.replace("_", "-"), value) for name, value in sent.items()]

    def raw(self, method: str, message: bytes, *, timeout_s: float = 20.0) -> bytes:
        """Call a method of one message and one answer."""
        answer: bytes = self.channel.unary_unary(method)(
            message, metadata=self.metadata, timeout=timeout_s, wait_for_ready=True
        )
        return answer

    def call(self, name: str, /, **fields: Any) -> Any:
        """Call a method of the inference service."""
        request = MESSAGES.make(f"inference.{name}Request", **fields).SerializeToString()
        return MESSAGES.type(f"inference.{name}Response").FromString(
            self.raw(f"/inference.GRPCInferenceService/{name}", request)
        )

    def stream(self, messages: Iterable[bytes]) -> list[Any]:
        """Send messages on one stream and return the answers."""
        method = self.channel.stream_stream(STREAM)
        return [streamed(raw) for raw in method(iter(messages), metadata=self.metadata, timeout=20.0)]

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()


def failure(call: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
    """Return the status and the message that a call ends with; one that succeeds is OK."""
    try:
        call(*args, **kwargs)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""
    return "OK", ""
