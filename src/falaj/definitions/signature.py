"""Signature: what a model version takes and gives."""

import msgspec


class InputSpec(msgspec.Struct, frozen=True):
    """One column of the model's float32 matrix.

    Attributes:
        name: The feature column.
        dtype: The feature's type before encoding.
        categories: For strings: the vocabulary; a value's code is its position, anything else becomes NaN.
        default: The value used when the feature store fails; NaN when None.
    """

    name: str
    dtype: str
    categories: tuple[str, ...] = ()
    default: float | None = None


class Signature(msgspec.Struct, frozen=True):
    """A model's inputs, in the matrix's column order, and the name of its output.

    The output is float64: a probability, called "score", or what a regression predicts, called "prediction".
    """

    inputs: tuple[InputSpec, ...]
    output: str = "score"
