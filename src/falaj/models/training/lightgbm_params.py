"""LightGBM's parameters by name, asked of its library without importing its package."""

import ctypes
import json
from collections.abc import Iterable
from functools import cache

from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import did_you_mean
from falaj.models.runtimes.library import open_library


def refuse_unknown(names: Iterable[str]) -> None:
    """Refuse a name that LightGBM does not know: it would ignore it, and train another model unseen.

    Raises:
        DefinitionError: A parameter does not exist.
        ExtraMissing: LightGBM's library cannot be loaded.

    Example:
        >>> refuse_unknown(["num_leaves", "learning_rate"])
    """
    known = _known()
    for name in names:
        if name not in known:
            raise DefinitionError(
                f"lightgbm trainer: parameter {name!r} does not exist", hint=did_you_mean(name, known)
            )


@cache
def _known() -> frozenset[str]:
    library = open_library("lightgbm", "lib_lightgbm")
    length = ctypes.c_int64()
    library.LGBM_DumpParamAliases(ctypes.c_int64(0), ctypes.byref(length), ctypes.c_char_p(None))
    buffer = ctypes.create_string_buffer(length.value)
    library.LGBM_DumpParamAliases(length, ctypes.byref(length), buffer)
    aliases: dict[str, list[str]] = json.loads(buffer.value)
    return frozenset(aliases).union(*aliases.values())
