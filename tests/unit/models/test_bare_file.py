"""Bare files: what they take and give is read, and weights in other files are refused wherever they hide."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from falaj.definitions.tensor_signature import TensorSpec
from falaj.kernel.errors import CorruptionError, DataError, Unsupported
from falaj.models.bare_file import read_bare_file
from falaj.models.runtimes.tensors import TensorRuntime
from support.onnx_models import TYPES, identity_file, onnx_file, simple_file


def test_every_tensor_is_named_with_datatype_and_shape() -> None:
    found = read_bare_file(simple_file(), "simple.onnx")
    assert found.inputs == tuple(TensorSpec(name, "INT32", (1, 16)) for name in ("INPUT0", "INPUT1"))
    assert [spec.name for spec in found.outputs] == ["OUTPUT0", "OUTPUT1"]
    every = read_bare_file(identity_file(), "identity.onnx")
    assert [(spec.datatype, spec.shape) for spec in every.outputs] == [(name, (-1, -1)) for name in TYPES]


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100, simple_file()[:40]])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(DataError):
        read_bare_file(content, "file.onnx")
    with pytest.raises(CorruptionError):
        TensorRuntime(content)


def external(name: str) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="passwd")
    return tensor


def test_weights_in_other_files_are_refused_in_a_graph_and_in_its_subgraphs() -> None:
    weights = onnx.ModelProto.FromString(simple_file())
    weights.graph.initializer.append(external("w"))
    hidden = onnx.ModelProto.FromString(simple_file())
    branch = helper.make_graph([helper.make_node("Constant", [], ["o"], value=external("deep"))], "b", [], [])
    hidden.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=branch, else_branch=branch))
    for model, name in ((weights, "w"), (hidden, "deep")):
        with pytest.raises(Unsupported, match=f"keeps '{name}' in another file"):
            read_bare_file(model.SerializeToString(), "file.onnx")


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.COMPLEX64])
def test_datatypes_that_no_array_has_are_refused(kind: int) -> None:
    file = onnx_file([helper.make_node("Identity", ["x"], ["y"])], [("x", kind, [1])], [("y", kind, [1])])
    with pytest.raises((Unsupported, DataError)):
        read_bare_file(file, "file.onnx")
