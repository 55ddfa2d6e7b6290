"""ONNX files for bare models, made with the `onnx` package."""

from typing import Any

import onnx
from onnx import TensorProto, helper

_OPSET = 17
_IR = 8

Info = tuple[str, int, list[int | str]]


def onnx_file(nodes: list[Any], inputs: list[Info], outputs: list[Info], **more: Any) -> bytes:
    """Return a model of nodes; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        **more,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def simple_file() -> bytes:
    """The `simple` model of Triton's examples: sum and difference of two INT32 [1,16]."""
    pair: list[Info] = [(name, TensorProto.INT32, [1, 16]) for name in ("INPUT0", "INPUT1")]
    out: list[Info] = [(name, TensorProto.INT32, [1, 16]) for name in ("OUTPUT0", "OUTPUT1")]
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    return onnx_file(nodes, pair, out)


TYPES: dict[str, int] = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}  # fmt: skip


def identity_file() -> bytes:
    """One input and one output of every datatype, [any, any], each output the input of its type."""
    shape: list[int | str] = ["rows", "columns"]
    return onnx_file(
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in TYPES],
        [(f"in_{name}", kind, shape) for name, kind in TYPES.items()],
        [(f"out_{name}", kind, shape) for name, kind in TYPES.items()],
    )


def add_any_file() -> bytes:
    """x + y of any sizes, which the model refuses when they do not go together."""
    inputs: list[Info] = [("x", TensorProto.FLOAT, ["a"]), ("y", TensorProto.FLOAT, ["b"])]
    return onnx_file([helper.make_node("Add", ["x", "y"], ["z"])], inputs, [("z", TensorProto.FLOAT, ["c"])])
