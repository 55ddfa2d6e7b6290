"""The REST codec: every datatype there and back in both forms, and nothing malformed but a refusal."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from falaj.kernel.errors import InputError, Unsupported
from falaj.serving.inference import InferenceAnswer, InferenceRequest, WantedOutput
from falaj.serving.rest_codec import decode_request, encode_answer
from falaj.serving.tensors import BF16, BYTES, NUMPY, Tensor, from_bytes, to_bytes, to_values

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, *, finite: bool = False) -> Tensor:
    datatype = draw(st.sampled_from([*NUMPY, BYTES]))
    shape = draw(SHAPES)
    if datatype == BYTES:
        texts = draw(st.lists(st.text(max_size=5), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        values = np.empty(len(texts), object)
        values[:] = [text.encode() for text in texts]
        return Tensor(draw(st.text()), datatype, values.reshape(shape))
    elements = {"allow_nan": False, "allow_infinity": False} if finite and datatype.startswith("FP") else None
    return Tensor(draw(st.text()), datatype, draw(hnp.arrays(NUMPY[datatype], shape, elements=elements)))


def asked(answered: bytes, json_length: int | None) -> InferenceRequest:
    """An answer has the form of a request but for the name of its tensors."""
    end = len(answered) if json_length is None else json_length
    head = json.loads(answered[:end])
    head["inputs"] = head.pop("outputs")
    changed = json.dumps(head).encode()
    header = None if json_length is None else str(len(changed)).encode()
    return decode_request(changed + answered[end:], header)


def same(one: Tensor, other: Tensor) -> bool:
    return (
        (one.name, one.datatype, one.values.shape) == (other.name, other.datatype, other.values.shape)
        and one.values.dtype == other.values.dtype
        and to_bytes(one) == to_bytes(other)
    )


@given(st.lists(tensors(), max_size=3))
def test_binary_answers_come_back_bit_for_bit(sent: list[Tensor]) -> None:
    request = InferenceRequest([], parameters={"binary_data_output": True})
    answer = InferenceAnswer("m", "i", sent, {})
    back = asked(*encode_answer(answer, request)).inputs
    assert all(same(a, b) for a, b in zip(sent, back, strict=True))


@given(st.lists(tensors(finite=True), max_size=3))
def test_json_answers_come_back_bit_for_bit(sent: list[Tensor]) -> None:
    back = asked(*encode_answer(InferenceAnswer("m", "i", sent, {}), InferenceRequest([]))).inputs
    assert all(same(a, b) for a, b in zip(sent, back, strict=True))


def test_each_output_is_in_the_form_it_was_asked_in() -> None:
    outputs = [Tensor("a", "INT8", np.array([1], np.int8)), Tensor("b", "INT8", np.array([2], np.int8))]
    wanted = [WantedOutput("a", {"binary_data": False}), WantedOutput("b")]
    request = InferenceRequest([], parameters={"binary_data_output": True}, outputs=wanted)
    body, length = encode_answer(InferenceAnswer("m", "i", outputs, {}), request)
    assert length is not None
    first, second = json.loads(body[:length])["outputs"]
    assert (first["data"], second["parameters"], body[length:]) == ([1], {"binary_data_size": 1}, b"\x02")


def test_null_is_a_value_that_is_not_known() -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3], "data": [0.1, None, 2]}]}
    (tensor,) = decode_request(json.dumps(body).encode()).inputs
    assert tensor.values.tolist() == [float(np.float32(0.1)), None, 2.0]


def test_bf16_comes_in_binary_alone() -> None:
    tensor = from_bytes("x", BF16, [2], memoryview(bytes([0x80, 0x3F, 0x00, 0xC0])))
    assert (tensor.values.tolist(), tensor.values.dtype.str) == ([1.0, -2.0], "<f4")
    assert to_bytes(tensor) == bytes([0x80, 0x3F, 0x00, 0xC0])
    with pytest.raises(Unsupported, match="BF16"):
        decode_request(b'{"inputs":[{"name":"x","datatype":"BF16","shape":[1],"data":[1]}]}')


def test_bytes_that_are_no_text_have_no_json_form() -> None:
    values = np.empty(1, object)
    values[0] = b"\xff"
    with pytest.raises(Unsupported, match="no text"):
        to_values(Tensor("x", BYTES, values))


def part(**more: Any) -> dict[str, Any]:
    return {"name": "x", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}} | more


@pytest.mark.parametrize(
    ("inputs", "raw", "said"),
    [
        ([part()], b"123", "3 bytes are left"),
        ([part()], b"12345", "1 bytes belong to no tensor"),
        ([part(), part()], b"1234", "0 bytes are left"),
        ([part(parameters={"binary_data_size": -4})], b"", "is -4"),
        ([part(parameters={"binary_data_size": True})], b"1", "is True"),
        ([part(parameters={"binary_data_size": "4"})], b"1234", "is 4"),
        ([part(parameters={"binary_data_size": 10**30})], b"1234", "are left"),
        ([part(data=[1, 2])], b"1234", "has data and binary_data_size"),
        ([part(shape=[3])], b"1234", "needs 6 bytes, and there are 4"),
        ([part(shape=[-2])], b"1234", "is negative"),
        ([part(shape=[10**30])], b"1234", "too large"),
        ([part(shape=[1] * 33)], b"1234", "33 dimensions"),
        ([part(shape=[0] + [2**39] * 8, parameters={"binary_data_size": 0})], b"", "no array has shape"),
        ([part(datatype="INT128")], b"1234", "does not exist"),
        ([part(datatype="BOOL", shape=[4])], b"\x01\x00\x02\x00", "neither 0 nor 1"),
        ([part(datatype="BYTES", shape=[1])], b"\x01\x00\x00\x00", "not 1 elements"),
        ([part(datatype="BYTES", shape=[1])], b"\xff\xff\xff\xff", "not 1 elements"),
        ([part(datatype="BYTES", shape=[2])], b"\x00\x00\x00\x00", "need more than 4 bytes"),
        ([part(datatype="BYTES", shape=[0])], b"\x00\x00\x00\x00", "not 0 elements"),
        ([part(datatype="BYTES", shape=[10**12])], b"1234", "need more than"),
    ],
)
def test_what_does_not_fit_is_named(inputs: list[dict[str, Any]], raw: bytes, said: str) -> None:
    head = json.dumps({"inputs": inputs}).encode()
    with pytest.raises(InputError, match=said):
        decode_request(head + raw, str(len(head)).encode())


@pytest.mark.parametrize("header", [b"", b"-1", b"1e2", b"999", b" 2", b"0x2", b"9" * 5000, "²".encode()])
def test_a_header_that_is_no_length_is_refused(header: bytes) -> None:
    with pytest.raises(InputError, match="Inference-Header-Content-Length"):
        decode_request(b"{}", header)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT8", 128), ("UINT8", -1), ("UINT64", 2**64), ("FP16", 65_520), ("FP32", 1e39), ("INT32", 1.0), ("BOOL", 1),
     ("BYTES", 1), ("FP64", True), ("FP64", "1"), ("FP64", 10**400)],
)  # fmt: skip
def test_json_values_must_fit_their_datatype(datatype: str, value: Any) -> None:
    body = {"inputs": [{"name": "x", "datatype": datatype, "shape": [2], "data": [None, value]}]}
    with pytest.raises(InputError, match=f"value .*, which is not {datatype}|out of range|body: "):
        decode_request(json.dumps(body).encode())


@settings(max_examples=500)
@given(st.data())
def test_a_damaged_body_is_refused_or_read(data: st.DataObject) -> None:
    sent = data.draw(st.lists(tensors(), min_size=1, max_size=3))
    request = InferenceRequest([], parameters={"binary_data_output": data.draw(st.booleans())})
    body, length = encode_answer(InferenceAnswer("m", "i", sent, {}), request)
    damaged = bytearray(body.replace(b'"outputs"', b'"inputs"'))
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    header = None if length is None else str(data.draw(st.integers(0, len(body) + 2))).encode()
    for attempt in (bytes(damaged), bytes(damaged[:cut])):
        try:
            decode_request(attempt, header)
        except (InputError, Unsupported) as error:
            assert error.message
