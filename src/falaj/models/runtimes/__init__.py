"""Runtimes that score rows: the `Runtime` port, `load_runtime`, and one file per library."""

from falaj.models.runtimes.load import load_runtime, warm_up
from falaj.models.runtimes.port import Runtime

__all__ = ["Runtime", "load_runtime", "warm_up"]
