"""XGBoost's own in-place predictor, through its C library."""

import ctypes
import functools
import weakref

import numpy as np

from falaj.kernel.errors import CorruptionError, InputError, Unsupported
from falaj.models.runtimes.library import open_library
from falaj.models.runtimes.port import Matrix, Scores, check_matrix

_CONFIG = (
    b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"missing":NaN,"strict_shape":false,"cache_id":0}'
)
_FLOAT32_BYTES = 4


class XgboostRuntime:
    """A booster loaded from XGBoost's JSON or UBJSON format.

    Args:
        model: The model file's bytes.
        features: How many columns it must take.
        name: Named in errors.

    Raises:
        CorruptionError: The bytes are not an XGBoost model, or it takes another number of columns.
        Unsupported: It gives several numbers for a row.
    """

    def __init__(self, model: bytes, features: int, name: str = "model") -> None:
        if not model.startswith(b"{"):  # XGBoost ends the process on an empty file
            raise CorruptionError(f"artifact {name} is not an XGBoost model", hint="restore it from a backup")
        self._library = _library()
        self._features = features
        self._handle = ctypes.c_void_p()
        self._library.XGBoosterCreate(None, 0, ctypes.byref(self._handle))
        weakref.finalize(self, self._library.XGBoosterFree, self._handle)
        if self._library.XGBoosterLoadModelFromBuffer(self._handle, model, len(model)) != 0:
            finding = _last_error(self._library).split("Stack trace")[0].strip().replace("\n", " ")
            raise CorruptionError(f"XGBoost cannot read artifact {name}: {finding}", hint="restore it from a backup")
        self._call(self._library.XGBoosterSetParam(self._handle, b"nthread", b"1"))
        width = ctypes.c_uint64()
        self._call(self._library.XGBoosterGetNumFeature(self._handle, ctypes.byref(width)))
        if width.value != features:
            raise CorruptionError(
                f"artifact {name} takes {width.value} columns, and its signature has {features}",
                hint="the file and the signature belong to different versions",
            )
        self._shape = ctypes.POINTER(ctypes.c_uint64)()
        self._dimensions = ctypes.c_uint64()
        self._out = ctypes.c_void_p()
        self.predict(np.zeros((2, features), np.float32))
        if self._dimensions.value != 1:
            raise Unsupported(f"artifact {name} has several outputs", hint="train a binary classifier or a regression")

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row."""
        check_matrix(matrix, self._features)
        rows = matrix.shape[0]
        if rows == 0:
            return np.empty(0, np.float64)
        interface = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (
            matrix.ctypes.data,
            rows,
            self._features,
        )
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions, out = self._dimensions, ctypes.c_void_p()
        self._call(
            self._library.XGBoosterPredictFromDense(
                self._handle, interface, _CONFIG, None, ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(out)
            )
        )
        # XGBoost keeps the answer in memory of its own that the next call on this thread overwrites: copied here.
        raw = ctypes.string_at(out.value or 0, rows * _FLOAT32_BYTES)
        return np.frombuffer(raw, np.float32).astype(np.float64)

    def _call(self, status: int) -> None:
        if status != 0:
            finding = _last_error(self._library).split("Stack trace")[0].strip()
            raise InputError(f"XGBoost refused the rows: {finding}")


@functools.cache
def _library() -> ctypes.CDLL:
    library = open_library("xgboost", "libxgboost")
    library.XGBGetLastError.restype = ctypes.c_char_p
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.XGBoosterCreate.argtypes = [pointer, ctypes.c_uint64, pointer]
    library.XGBoosterFree.argtypes = [pointer]
    library.XGBoosterSetParam.argtypes = [pointer, text, text]
    library.XGBoosterGetNumFeature.argtypes = [pointer, pointer]
    library.XGBoosterLoadModelFromBuffer.argtypes = [pointer, text, ctypes.c_uint64]
    library.XGBoosterPredictFromDense.argtypes = [pointer, text, text, pointer, pointer, pointer, pointer]
    return library


def _last_error(library: ctypes.CDLL) -> str:
    return bytes(library.XGBGetLastError()).decode(errors="replace")
