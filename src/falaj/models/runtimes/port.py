"""The port of everything that can score rows."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from falaj.kernel.errors import InputError

Matrix = NDArray[np.float32]
Scores = NDArray[np.float64]


class Runtime(Protocol):
    """A loaded model that answers with the probability of class 1, or a number, on one thread of the caller."""

    @property
    def features(self) -> int:
        """How many columns it takes."""
        ...

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row.

        Args:
            matrix: float32, C-contiguous, (rows, features); NaN stands for a missing value.

        Returns:
            float64, (rows,).

        Raises:
            InputError: The matrix has another type or shape.
        """
        ...


def check_matrix(matrix: NDArray[Any], features: int) -> None:
    """Refuse a matrix that a library would read as other memory than it is.

    Raises:
        InputError: It is not float32, C-contiguous and `features` wide.

    Example:
        >>> check_matrix(np.zeros((2, 3), np.float32), 3)
    """
    if matrix.ndim != 2 or matrix.shape[1] != features:
        raise InputError(f"the matrix has shape {matrix.shape}, and the model takes (rows, {features})")
    if matrix.dtype != np.float32 or not matrix.flags.c_contiguous:
        raise InputError(
            f"the matrix is {matrix.dtype}, C-contiguous {matrix.flags.c_contiguous}",
            hint="give numpy.ascontiguousarray(matrix, numpy.float32)",
        )
