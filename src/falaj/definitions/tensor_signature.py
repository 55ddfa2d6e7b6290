"""TensorSignature: what a bare model takes and gives, as named tensors."""

import msgspec

ANY_SIZE = -1


class TensorSpec(msgspec.Struct, frozen=True):
    """One tensor of a bare model.

    Attributes:
        name: Its name in the model file.
        datatype: As the Open Inference Protocol calls it, such as `FP32`.
        shape: Its dimensions; -1 stands for any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


class TensorSignature(msgspec.Struct, frozen=True):
    """The tensors of a bare model, in the file's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
