"""Bare files: what an ONNX file must be to serve as it is, looked at before it is kept."""

from collections.abc import Iterator
from typing import Any

from falaj.definitions.tensor_signature import TensorSignature
from falaj.kernel.errors import DataError, FalajError, Unsupported
from falaj.models.runtimes.tensors import TensorRuntime


def read_bare_file(model: bytes, name: str) -> TensorSignature:
    """Return what a file takes and gives.

    Args:
        model: The file's bytes.
        name: Its name, for errors.

    Raises:
        DataError: It is no ONNX model.
        Unsupported: It keeps weights in other files, which would be read from wherever the gateway stands; or it takes
            or gives what is no tensor.
    """
    import onnx  # a fraction of a second that only this needs
    from google.protobuf.message import DecodeError

    try:
        parsed = onnx.ModelProto.FromString(model)
    except DecodeError:
        raise DataError(f"file {name} is no ONNX model", hint="give a file that onnx.save wrote") from None
    for tensor in _tensors(parsed):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise Unsupported(
                f"file {name} keeps {tensor.name!r} in another file",
                hint="save it in one: onnx.save(onnx.load(FILE), OTHER, save_as_external_data=False)",
            )
    try:
        return TensorRuntime(model, name).signature
    except Unsupported:
        raise
    except FalajError as error:
        raise DataError(error.message, hint="give a file that ONNX Runtime can run") from None


def _tensors(model: Any) -> Iterator[Any]:
    """Give every tensor that a file holds, those of subgraphs, functions and attributes too."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _of_graph(graph)
