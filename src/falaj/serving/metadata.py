"""Metadata: what the Open Inference Protocol tells about the server and its models."""

import msgspec

from falaj.definitions.tensor_signature import ANY_SIZE, TensorSpec
from falaj.kernel.version import __version__
from falaj.serving.bare_model import BareModel
from falaj.serving.tensors import DATATYPES
from falaj.serving.variants import LoadedRoute, LoadedVariant

EXTENSIONS = ("model_repository", "binary_tensor_data", "statistics")


class ServerMetadata(msgspec.Struct, frozen=True):
    """Who answers."""

    name: str = "falaj"
    version: str = __version__
    extensions: tuple[str, ...] = EXTENSIONS


class Health(msgspec.Struct, frozen=True):
    """How the server is.

    Attributes:
        live: Whether the process works.
        ready: Whether requests should be sent here.
    """

    live: bool
    ready: bool


class ModelReady(msgspec.Struct, frozen=True):
    """Whether a model serves; one that does not is not found."""

    name: str
    ready: bool = True


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a model takes and gives.

    Attributes:
        name: As it was asked for.
        versions: Those that serve, the one with most traffic first.
        platform: What runs it.
        inputs: Its inputs; -1 in a shape stands for any size.
        outputs: Its outputs.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of the repository's index.

    Attributes:
        name: The model.
        version: The version.
        state: READY.
        reason: Why a newer one could not be loaded; empty otherwise.
    """

    name: str
    version: str
    state: str
    reason: str


def endpoint_metadata(asked: str, route: LoadedRoute, variant: LoadedVariant, *, raw: bool) -> ModelMetadata:
    """Return the metadata of an endpoint.

    Args:
        asked: The name it was asked for by.
        route: The endpoint.
        variant: Whose inputs to tell.
        raw: Whether the caller sends the features themselves.
    """
    signature = variant.spec.signature
    if raw or not variant.takes_entities:
        fields = tuple((spec.name, spec.dtype) for spec in signature.inputs)
    else:
        fields = tuple(dict.fromkeys((*variant.entities.fields, *variant.request.fields)))
    return ModelMetadata(
        asked,
        tuple(str(each.spec.version) for each in route.live),
        f"falaj_{variant.spec.artifact.runtime}",
        tuple(TensorSpec(name, DATATYPES[dtype], (ANY_SIZE,)) for name, dtype in fields),
        (TensorSpec(signature.output, "FP64", (ANY_SIZE,)),),
    )


def bare_metadata(asked: str, model: BareModel) -> ModelMetadata:
    """Return the metadata of a bare model."""
    tensors = model.tensors
    return ModelMetadata(asked, (str(model.spec.version),), "onnxruntime_onnx", tensors.inputs, tensors.outputs)
