"""LightGBM's own predictor, through its C library."""

import ctypes
import functools
import re
import weakref

import numpy as np

from falaj.kernel.errors import CorruptionError, InputError, Unsupported
from falaj.models.runtimes.library import open_library
from falaj.models.runtimes.port import Matrix, Scores, check_matrix

_FLOAT32 = 0
_ROW_MAJOR = 1
_PREDICT_NORMAL = 0
_PREDICT_CONTRIBUTIONS = 3
_ALL_TREES = -1
_TREE_LINES = re.compile(rb"(?:\n*[A-Za-z_]+=[-+0-9.einfa ]*\n)*\n*")
_PARAMETERS = b"num_threads=1 verbosity=-1 predict_disable_shape_check=false"


class LightgbmRuntime:
    """A booster loaded from LightGBM's text format.

    Args:
        model: The model file's bytes.
        features: How many columns it must take.
        name: Named in errors.

    Raises:
        CorruptionError: The bytes are not a whole LightGBM model, or it takes another number of columns.
        Unsupported: It gives several numbers for a row.
    """

    def __init__(self, model: bytes, features: int, name: str = "model") -> None:
        _check_text(model, name)
        self._library = _library()
        self._features = features
        self._handle = ctypes.c_void_p()
        trees = ctypes.c_int()
        loaded = self._library.LGBM_BoosterLoadModelFromString(model, ctypes.byref(trees), ctypes.byref(self._handle))
        if loaded != 0:
            raise CorruptionError(f"LightGBM cannot read artifact {name}: {_last_error(self._library)}")
        weakref.finalize(self, self._library.LGBM_BoosterFree, self._handle)
        self._check_shape(name)
        self._fast = ctypes.c_void_p()
        self._call(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _PREDICT_NORMAL, 0, _ALL_TREES, _FLOAT32, features, _PARAMETERS, ctypes.byref(self._fast)
            )
        )
        weakref.finalize(self, self._library.LGBM_FastConfigFree, self._fast)

    @property
    def features(self) -> int:
        """How many columns it takes."""
        return self._features

    def predict(self, matrix: Matrix) -> Scores:
        """Return one score per row; a single row takes LightGBM's fast path."""
        check_matrix(matrix, self._features)
        rows = matrix.shape[0]
        scores = np.empty(rows, np.float64)
        if rows == 0:
            return scores
        written = ctypes.c_int64()
        data, out = matrix.ctypes.data, scores.ctypes.data
        if rows == 1:
            self._call(
                self._library.LGBM_BoosterPredictForMatSingleRowFast(self._fast, data, ctypes.byref(written), out)
            )
        else:
            self._call(
                self._library.LGBM_BoosterPredictForMat(
                    self._handle, data, _FLOAT32, rows, self._features, _ROW_MAJOR, _PREDICT_NORMAL, 0, _ALL_TREES,
                    _PARAMETERS, ctypes.byref(written), out,
                )
            )  # fmt: skip
        return scores

    def contributions(self, matrix: Matrix) -> Scores:
        """Return what each input adds to the log-odds or the number of each row, by TreeSHAP (Lundberg et al. 2018).

        Args:
            matrix: float32, C-contiguous, (rows, features).

        Returns:
            float64, (rows, features + 1); the last column is the expected log-odds, and a row adds up to its own.
        """
        check_matrix(matrix, self._features)
        rows = matrix.shape[0]
        added = np.empty((rows, self._features + 1), np.float64)
        written = ctypes.c_int64()
        self._call(
            self._library.LGBM_BoosterPredictForMat(
                self._handle, matrix.ctypes.data, _FLOAT32, rows, self._features, _ROW_MAJOR, _PREDICT_CONTRIBUTIONS, 0,
                _ALL_TREES, _PARAMETERS, ctypes.byref(written), added.ctypes.data,
            )
        )  # fmt: skip
        return added

    def _check_shape(self, name: str) -> None:
        width, classes = ctypes.c_int(), ctypes.c_int()
        self._call(self._library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(width)))
        self._call(self._library.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        if width.value != self._features:
            raise CorruptionError(
                f"artifact {name} takes {width.value} columns, and its signature has {self._features}",
                hint="the file and the signature belong to different versions",
            )
        if classes.value != 1:
            raise Unsupported(
                f"artifact {name} has {classes.value} classes", hint="train a binary classifier or a regression"
            )

    def _call(self, status: int) -> None:
        if status != 0:
            raise InputError(f"LightGBM refused the rows: {_last_error(self._library)}")


def _check_text(model: bytes, name: str) -> None:
    # LightGBM trusts its text: on a cut or damaged file it ends the process, and nothing can catch that.
    sizes = re.search(rb"^tree_sizes=([\d ]+)$", model[:1_000_000], re.MULTILINE)
    first = model.find(b"\nTree=0\n")
    end = model.find(b"\nend of trees\n")
    if not model.startswith(b"tree\n") or sizes is None or first < 0 or end < 0:
        raise CorruptionError(f"artifact {name} is not a whole LightGBM text model", hint="restore it from a backup")
    trees = model[first:end]
    if sum(int(size) for size in sizes[1].split()) != len(trees) or not _TREE_LINES.fullmatch(trees):
        raise CorruptionError(f"artifact {name}: its trees are damaged", hint="restore it from a backup")


@functools.cache
def _library() -> ctypes.CDLL:
    library = open_library("lightgbm", "lib_lightgbm")
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    pointer, number, address = ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
    library.LGBM_BoosterFree.argtypes = [pointer]
    library.LGBM_FastConfigFree.argtypes = [pointer]
    library.LGBM_BoosterPredictForMatSingleRowFastInit.argtypes = [
        pointer, number, number, number, number, ctypes.c_int32, ctypes.c_char_p, pointer,
    ]  # fmt: skip
    library.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [pointer, address, pointer, address]
    library.LGBM_BoosterPredictForMat.argtypes = [
        pointer, address, number, ctypes.c_int32, ctypes.c_int32, number, number, number, number, ctypes.c_char_p,
        pointer, address,
    ]  # fmt: skip
    return library


def _last_error(library: ctypes.CDLL) -> str:
    return bytes(library.LGBM_GetLastError()).decode(errors="replace")
