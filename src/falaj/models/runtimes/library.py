"""Native libraries found inside their Python packages, without importing these: the packages load pandas."""

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

from falaj.kernel.errors import ExtraMissing

_SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
_OPENMP = b"libgomp.so.1"


def open_library(package: str, stem: str) -> ctypes.CDLL:
    """Open the shared library of an installed package.

    Args:
        package: The Python package that carries it, such as `lightgbm`.
        stem: The file's name without its suffix, such as `lib_lightgbm`.

    Raises:
        ExtraMissing: The package is not installed, or the library needs one of the system's that is absent.
    """
    spec = importlib.util.find_spec(package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        path = Path(folder) / "lib" / f"{stem}.{_SUFFIX}"
        if path.exists():
            return _open(path, package)
    raise ExtraMissing(f"{package} is not installed with its library {stem}", hint=f"pip install {package}")


def _open(path: Path, package: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        if _OPENMP.decode() in str(error) and provide_openmp():
            return ctypes.CDLL(str(path))
        raise ExtraMissing(
            f"{package} cannot be loaded: {error}", hint="install OpenMP, for example: apt install libgomp1"
        ) from None


def provide_openmp() -> bool:
    """Load the OpenMP library that scikit-learn carries, under the name that LightGBM asks the system for.

    LightGBM's package brings none, and a small Linux image has none: without this, Python and pip alone would not be
    enough there. The copy that scikit-learn carries is the same library under a name of its own.

    Returns:
        Whether one was found and loaded.
    """
    spec = importlib.util.find_spec("sklearn")
    if sys.platform != "linux" or spec is None or not spec.submodule_search_locations:
        return False
    for path in (Path(spec.submodule_search_locations[0]).parent / "scikit_learn.libs").glob("libgomp*.so*"):
        own_name = path.name.encode() + b"\0"
        renamed = path.read_bytes().replace(own_name, _OPENMP.ljust(len(own_name), b"\0"))
        memory = os.memfd_create("libgomp.so.1")
        try:
            os.write(memory, renamed)
            ctypes.CDLL(f"/proc/self/fd/{memory}", ctypes.RTLD_GLOBAL)
        finally:
            os.close(memory)  # the loaded library stays mapped
        return True
    return False
