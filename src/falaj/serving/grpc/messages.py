"""Messages: the classes of what our .proto files declare, in a pool of their own."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from falaj.kernel.errors import InputError
from falaj.serving.grpc.proto_file import read_proto

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
REFLECTION_ALPHA = "grpc.reflection.v1alpha.ServerReflection"
SERVICES = (INFERENCE, HEALTH, REFLECTION, REFLECTION_ALPHA)
"""What the server offers, in full names."""

Message = Any
"""A protobuf message; its fields are known at run time only."""

_FOLDER = Path(__file__).parent


class Messages:
    """Every message class by its full name.

    Attributes:
        pool: The descriptors, for reflection.

    Example:
        >>> messages = Messages()
        >>> messages.make("inference.ModelReadyRequest", name="fraud").SerializeToString()
        b'\\n\\x05fraud'
    """

    def __init__(self) -> None:
        self.pool = DescriptorPool()
        reflection = (_FOLDER / "reflection.proto").read_text(encoding="utf-8")
        for name in ("open_inference.proto", "health.proto"):
            self.pool.Add(read_proto(name, (_FOLDER / name).read_text(encoding="utf-8")))
        self.pool.Add(read_proto("reflection.proto", reflection))
        alpha = reflection.replace("package grpc.reflection.v1;", "package grpc.reflection.v1alpha;")
        self.pool.Add(read_proto("reflection_v1alpha.proto", alpha))
        self._classes: dict[str, Any] = {}

    def type(self, full_name: str) -> Any:
        """Return a message class."""
        found = self._classes.get(full_name)
        if found is None:
            found = self._classes[full_name] = GetMessageClass(self.pool.FindMessageTypeByName(full_name))
        return found

    def make(self, full_name: str, /, **fields: Any) -> Message:
        """Return a message of a type."""
        return self.type(full_name)(**fields)

    def service(self, full_name: str) -> ServiceDescriptor:
        """Return what a service offers."""
        return self.pool.FindServiceByName(full_name)

    def services(self) -> Iterable[ServiceDescriptor]:
        """Return what all services offer."""
        return map(self.service, SERVICES)


def read_message(kind: Any, raw: bytes) -> Message:
    """Return the message that the bytes are.

    Raises:
        InputError: They are none of this kind.
    """
    try:
        return kind.FromString(raw)
    except (DecodeError, RecursionError, ValueError) as error:  # a text that is not UTF-8 is a ValueError
        raise InputError(f"the message is no {kind.DESCRIPTOR.full_name}", hint=str(error)[:200]) from None
