"""The messages of gRPC: number for number those that real clients send and read."""

from typing import Any

import pytest
import tritonclient.grpc.service_pb2 as triton
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from falaj.kernel.errors import InputError
from falaj.serving.grpc.messages import SERVICES, Messages, read_message
from falaj.serving.grpc.proto_file import read_proto

MESSAGES = Messages()
LEFT_OUT = {"ModelStatistics": {"batch_stats", "memory_usage", "response_stats"}}
"""Fields of Triton's that count what we do not."""


def fields(message: Any) -> dict[str, tuple[Any, ...]]:
    """A message's fields and those of its nested types, without the name of the package."""
    found: dict[str, tuple[Any, ...]] = {}
    for field in message.fields:
        kind = field.message_type or field.enum_type
        oneof = field.containing_oneof
        name = kind and kind.full_name.removeprefix(kind.file.package + ".")
        found[field.name] = (field.number, field.type, field.is_repeated, name, oneof and oneof.name)
    for nested in message.nested_types:
        found |= {f"{nested.name}.{name}": field for name, field in fields(nested).items()}
        found[nested.name] = (nested.GetOptions().map_entry,)
    return found


@pytest.mark.parametrize(
    ("file", "theirs"),
    [
        ("open_inference.proto", triton.DESCRIPTOR),
        ("health.proto", health_pb2.DESCRIPTOR),
        ("reflection_v1alpha.proto", reflection_pb2.DESCRIPTOR),
    ],
)
def test_every_field_and_method_is_that_of_the_standard(file: str, theirs: Any) -> None:
    ours = MESSAGES.pool.FindFileByName(file)
    assert ours.package == theirs.package
    assert len(ours.message_types_by_name) > 1
    for name, message in ours.message_types_by_name.items():
        standard = fields(theirs.message_types_by_name[name])
        left_out = LEFT_OUT.get(name, set())
        assert left_out <= set(standard)
        kept = {f: v for f, v in standard.items() if f not in left_out and not f.startswith("ResponseStats")}
        assert fields(message) == kept, name
        for enum in message.enum_types:
            standard_enum = theirs.message_types_by_name[name].enum_types_by_name[enum.name]
            assert [(v.name, v.number) for v in enum.values] == [(v.name, v.number) for v in standard_enum.values]
    for name, service in ours.services_by_name.items():
        for method in service.methods:
            other = theirs.services_by_name[name].methods_by_name[method.name]
            assert (method.input_type.full_name, method.output_type.full_name) == (
                other.input_type.full_name, other.output_type.full_name,
            )  # fmt: skip
            assert (method.client_streaming, method.server_streaming) == (
                other.client_streaming, other.server_streaming,
            )  # fmt: skip


def test_both_versions_of_reflection_are_the_same_but_for_the_package() -> None:
    new, old = (MESSAGES.pool.FindFileByName(f"reflection{version}.proto") for version in ("", "_v1alpha"))
    assert {n: fields(m) for n, m in new.message_types_by_name.items()} == {
        n: fields(m) for n, m in old.message_types_by_name.items()
    }
    assert {service.full_name for service in MESSAGES.services()} == set(SERVICES)


def test_bytes_of_a_client_are_read_and_the_other_way_round() -> None:
    sent = triton.ModelInferRequest(model_name="fraud", id="mine", raw_input_contents=[b"\x01"])
    sent.inputs.add(name="x", datatype="INT8", shape=[1]).parameters["a"].int64_param = 5
    read = read_message(MESSAGES.type("inference.ModelInferRequest"), sent.SerializeToString())
    assert (read.model_name, read.id, read.inputs[0].parameters["a"].int64_param) == ("fraud", "mine", 5)
    assert triton.ModelInferRequest.FromString(read.SerializeToString()) == sent


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xff"])
def test_what_is_no_message_is_the_callers_mistake(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"no inference\.ModelInferRequest"):
        read_message(MESSAGES.type("inference.ModelInferRequest"), raw)


@pytest.mark.parametrize(
    "text",
    [
        'import "x.proto";', "message A { B b = 1; }", "message A { int32 a 1; }", "message A {",
        "service A { int32 b }", "message A { option x = 1; }", "%",
    ],
)  # fmt: skip
def test_a_file_that_uses_more_of_the_language_is_refused(text: str) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        read_proto("a.proto", f'syntax = "proto3"; package a; {text}')
