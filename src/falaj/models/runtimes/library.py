"""Native libraries found inside their Python packages, without importing these: the packages load pandas."""

import ctypes
import importlib.util
import sys
from pathlib import Path

from falaj.kernel.errors import ExtraMissing

_SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")


def open_library(package: str, stem: str) -> ctypes.CDLL:
    """Open the shared library of an installed package.

    Args:
        package: The Python package that carries it, such as `lightgbm`.
        stem: The file's name without its suffix, such as `lib_lightgbm`.

    Raises:
        ExtraMissing: The package is not installed, or the library needs one of the system's that is absent.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ExtraMissing(f"{package} is not installed", hint=f"pip install {package}")
    for folder in spec.submodule_search_locations:
        path = Path(folder) / "lib" / f"{stem}.{_SUFFIX}"
        if path.exists():
            try:
                return ctypes.CDLL(str(path))
            except OSError as error:
                raise ExtraMissing(
                    f"{package} cannot be loaded: {error}", hint="install OpenMP, for example: apt install libgomp1"
                ) from None
    raise ExtraMissing(f"{package} has no {stem}.{_SUFFIX}", hint=f"pip install --force-reinstall {package}")
