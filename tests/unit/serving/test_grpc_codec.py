"""The codec of gRPC: every datatype there and back in both forms, and nothing malformed but a refusal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from falaj.kernel.errors import FalajError, InputError, Unsupported
from falaj.serving.grpc.codec import InferCodec
from falaj.serving.grpc.messages import Messages
from falaj.serving.inference import InferenceAnswer, InferenceRequest
from falaj.serving.tensors import BF16, BYTES, NUMPY, Tensor, to_bytes

MESSAGES = Messages()
CODEC = InferCodec(MESSAGES)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def tensors(draw: st.DrawFn, *, typed: bool = False) -> Tensor:
    datatype = draw(st.sampled_from([kind for kind in (*NUMPY, BYTES) if not (typed and kind == "FP16")]))
    shape = draw(SHAPES)
    if datatype != BYTES:
        return Tensor(draw(TEXT), datatype, draw(hnp.arrays(NUMPY[datatype], shape)))
    count = int(np.prod(shape))
    values = np.empty(count, object)
    values[:] = draw(st.lists(st.binary(max_size=5), min_size=count, max_size=count))
    return Tensor(draw(TEXT), datatype, values.reshape(shape))


def asked(answer: Any) -> Any:
    """An answer has the form of a request but for where its tensors stand."""
    inputs = [
        {"name": o.name, "datatype": o.datatype, "shape": o.shape} | ({"contents": o.contents} if typed(o) else {})
        for o in answer.outputs
    ]
    request = MESSAGES.make("inference.ModelInferRequest", raw_input_contents=answer.raw_output_contents)
    for one in inputs:
        request.inputs.add(**one)
    return request


def typed(output: Any) -> bool:
    return bool(output.HasField("contents"))


def same(one: Tensor, other: Tensor) -> bool:
    return (
        (one.name, one.datatype, one.values.shape) == (other.name, other.datatype, other.values.shape)
        and one.values.dtype == other.values.dtype
        and to_bytes(one) == to_bytes(other)
    )


@given(st.lists(tensors(), max_size=3))
def test_raw_contents_come_back_bit_for_bit(sent: list[Tensor]) -> None:
    message = CODEC.encode(InferenceAnswer("m", "i", sent, {}), InferenceRequest([]))
    assert len(message.raw_output_contents) == len(sent)
    assert all(same(a, b) for a, b in zip(sent, CODEC.decode(asked(message)).inputs, strict=True))


@given(st.lists(tensors(typed=True), max_size=3))
def test_typed_contents_come_back_value_for_value(sent: list[Tensor]) -> None:
    request = InferenceRequest([], parameters={"binary_data_output": False})
    message = CODEC.encode(InferenceAnswer("m", "i", sent, {}), request)
    assert len(message.raw_output_contents) == 0
    for one, back in zip(sent, CODEC.decode(asked(message)).inputs, strict=True):
        assert (one.name, one.datatype, one.values.shape) == (back.name, back.datatype, back.values.shape)
        np.testing.assert_array_equal(one.values, back.values)


def test_everything_else_of_a_message_is_read() -> None:
    message = request({"name": "x", "datatype": "INT8", "shape": [1]}, raw=[b"\x07"], id="mine")
    for name, field, value in (
        ("a", "bool_param", True), ("b", "int64_param", -1), ("c", "string_param", "s"), ("d", "double_param", 0.5),
        ("e", "uint64_param", 2**63),
    ):  # fmt: skip
        setattr(message.parameters[name], field, value)
    message.outputs.add(name="y").parameters["binary_data"].bool_param = True
    read = CODEC.decode(message)
    assert read.id == "mine"
    assert read.parameters == {"a": True, "b": -1, "c": "s", "d": 0.5, "e": 2**63}
    assert [(output.name, output.parameters) for output in read.outputs] == [("y", {"binary_data": True})]
    assert read.inputs[0].values.tolist() == [7]


def test_an_answer_says_version_id_and_parameters() -> None:
    answer = InferenceAnswer("m", "i", [], {"variant": "champion", "defaulted": True}, "3")
    message = CODEC.encode(answer, InferenceRequest([]))
    assert (message.model_name, message.model_version, message.id) == ("m", "3", "i")
    assert message.parameters["variant"].string_param == "champion"
    assert message.parameters["defaulted"].bool_param is True


def test_bf16_has_a_raw_form_only() -> None:
    tensor = Tensor("x", BF16, np.array([1.0], np.float32))
    answer = InferenceAnswer("m", "i", [tensor], {})
    message = CODEC.encode(answer, InferenceRequest([]))
    assert CODEC.decode(asked(message)).inputs[0].values.tolist() == [1.0]
    with pytest.raises(Unsupported, match="BF16 has no typed contents"):
        CODEC.encode(answer, InferenceRequest([], parameters={"binary_data_output": False}))


def request(*inputs: dict[str, Any], raw: list[bytes] | None = None, **more: Any) -> Any:
    message = MESSAGES.make("inference.ModelInferRequest", raw_input_contents=raw or [], **more)
    for one in inputs:
        message.inputs.add(**one)
    return message


X = {"name": "x", "datatype": "INT32", "shape": [2]}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (request(X, raw=[bytes(7)]), "needs 8 bytes, and there are 7"),
        (request(X, X, raw=[bytes(8)]), "2 inputs and 1 raw_input_contents"),
        (request(raw=[b""]), "0 inputs and 1 raw_input_contents"),
        (request(X | {"contents": {"int_contents": [1, 2]}}, raw=[bytes(8)]), "contents and raw_input_contents"),
        (request(X | {"contents": {"int_contents": [1]}}), "needs 2 values, and there are 1"),
        (request(X), "needs 2 values, and there are 0"),
        (request(X | {"contents": {"int64_contents": [1, 2]}}), "INT32 is in int64_contents"),
        (request(X | {"datatype": "INT8", "contents": {"int_contents": [1, 128]}}), "128 is not INT8"),
        (request(X | {"datatype": "UINT16", "contents": {"uint_contents": [1, 65536]}}), "65536 is not UINT16"),
        (request(X | {"datatype": "INT33"}), "'INT33' does not exist"),
        (request(X | {"datatype": "INT33"}, raw=[bytes(8)]), "'INT33' does not exist"),
        (request(X | {"datatype": "FP16"}), "FP16 has no typed contents"),
        (request(X | {"datatype": "BYTES"}, raw=[b"\xff\xff\xff\x7fab"]), "elements of BYTES"),
        (request(X | {"shape": [-1]}, raw=[b""]), "is negative"),
        (request(X | {"shape": [2**62, 4]}, raw=[b""]), "far too large"),
        (request(X | {"shape": [1] * 33}, raw=[bytes(4)]), "33 dimensions"),
        (request(X | {"parameters": {"binary_data": {}}}), "'binary_data' has no value"),
        (request(X | {"parameters": {"shared_memory_region": {"string_param": "r"}}}), "is not supported"),
    ],
)
def test_what_does_not_fit_together_is_named(message: Any, says: str) -> None:
    with pytest.raises((InputError, Unsupported), match=says):
        CODEC.decode(message)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    """Requests whose parts are each possible, and seldom go together."""
    message = request(raw=draw(st.lists(st.binary(max_size=24), max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        shape = draw(st.lists(st.integers(-2, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3))
        one = message.inputs.add(
            name=draw(TEXT), datatype=draw(st.sampled_from([*NUMPY, BYTES, BF16, "X"])), shape=shape
        )
        one.contents.int_contents.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3)))
        one.contents.bytes_contents.extend(draw(st.lists(st.binary(max_size=3), max_size=2)))
    return message


@given(messages())
def test_nothing_malformed_is_anything_but_a_refusal(message: Any) -> None:
    try:
        read = CODEC.decode(message)
    except FalajError as error:
        assert error.code in ("input_invalid", "unsupported")
    else:
        assert all(tensor.values.dtype != object or tensor.datatype == BYTES for tensor in read.inputs)
