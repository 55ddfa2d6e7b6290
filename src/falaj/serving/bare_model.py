"""BareModel: an ONNX file in memory that takes and gives tensors, without features, entities or scores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.definitions.tensor_signature import ANY_SIZE, TensorSignature, TensorSpec
from falaj.kernel.errors import CorruptionError, InputError, NotFound
from falaj.kernel.names import did_you_mean
from falaj.models.runtimes.tensors import TensorRuntime
from falaj.serving.inference import InferenceRequest
from falaj.serving.stats import Series
from falaj.serving.tensors import Tensor


class BareModel:
    """A bare model in memory.

    Args:
        route: What it serves behind.
        spec: The version as published.
        runtime: Its model.

    Raises:
        CorruptionError: The file takes or gives other tensors than were recorded when it was added.
    """

    def __init__(self, route: EndpointRoute, spec: Variant, runtime: TensorRuntime) -> None:
        if spec.tensors != runtime.signature:
            raise CorruptionError(
                f"artifact {spec.artifact.digest} takes other tensors than version {spec.version} of {spec.model!r}",
                hint="add the file again",
            )
        self.route = route
        self.spec = spec
        self.runtime = runtime
        self.tensors: TensorSignature = runtime.signature
        self.series: Series | None = None

    def check_version(self, version: str) -> None:
        """Return if this version is the one that serves, or none is named.

        Raises:
            NotFound: Another one does.
        """
        if version and version != str(self.spec.version):
            raise NotFound(
                f"version {version!r} of model {self.spec.model!r} does not serve", hint=f"{self.spec.version} does"
            )

    def prepare(self, inputs: list[Tensor]) -> dict[str, NDArray[Any]]:
        """Return the arrays that the model takes.

        Raises:
            InputError: A tensor is missing, unknown, or of another datatype or shape.
        """
        specs = {spec.name: spec for spec in self.tensors.inputs}
        arrays: dict[str, NDArray[Any]] = {}
        for tensor in inputs:
            if tensor.name not in specs:
                raise InputError(
                    f"input {tensor.name[:80]!r} does not exist", hint=did_you_mean(tensor.name[:80], specs)
                )
            if tensor.name in arrays:
                raise InputError(f"input {tensor.name!r} stands twice", hint="send each input once")
            arrays[tensor.name] = _array(tensor, specs[tensor.name])
        for name, spec in specs.items():
            if name not in arrays:
                raise InputError(f"input {name!r} ({spec.datatype} {list(spec.shape)}) is missing", hint="send it")
        return arrays

    def wanted(self, request: InferenceRequest) -> list[TensorSpec]:
        """Return the outputs asked for, all of them by default.

        Raises:
            InputError: There is none of a name, or one is asked for twice.
        """
        specs = {spec.name: spec for spec in self.tensors.outputs}
        names = [output.name for output in request.outputs] or list(specs)
        for name in names:
            if name not in specs:
                raise InputError(f"output {name[:80]!r} does not exist", hint=did_you_mean(name[:80], specs))
        if len(set(names)) != len(names):
            raise InputError("an output is asked for twice", hint="ask for each output once")
        return [specs[name] for name in names]


def _array(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    shape = tensor.values.shape
    if tensor.datatype != spec.datatype:
        raise InputError(f"input {spec.name!r} must be {spec.datatype}, got {tensor.datatype}")
    if len(shape) != len(spec.shape) or any(w not in (ANY_SIZE, s) for s, w in zip(shape, spec.shape, strict=True)):
        raise InputError(
            f"input {spec.name!r} has shape {list(shape[:8])}, and the model takes {list(spec.shape)}",
            hint="-1 stands for any size",
        )
    if tensor.values.dtype != object:
        return tensor.values
    flat = tensor.values.reshape(-1).tolist()
    if None in flat:
        raise InputError(f"input {spec.name!r} holds null, which is no {spec.datatype}", hint="send a value for each")
    array = np.empty(len(flat), object)
    try:
        array[:] = [value.decode() for value in flat]
    except UnicodeDecodeError:
        raise InputError(f"input {spec.name!r} holds bytes that are not UTF-8", hint="send text") from None
    return array.reshape(shape)
