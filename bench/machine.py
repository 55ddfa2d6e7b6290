"""The machine, said at the top of every measurement."""

import importlib.metadata
import os
import platform
from pathlib import Path

_LIBRARIES = ("duckdb", "polars", "pyarrow", "numpy", "lmdb")


def print_machine() -> None:
    """Print the processor, the interpreter, the libraries that the work is done in, and what else is at work."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    model = next((line for line in lines if line.startswith("model name")), "model name : unknown")
    system = f"{platform.system()} {platform.release()}"
    print(f"machine: {os.cpu_count()} CPUs, {model.partition(':')[2].strip()}, {system}")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    print(f"python: {platform.python_implementation()} {platform.python_version()}; {versions}")
    print(f"load before: {', '.join(f'{one:.2f}' for one in os.getloadavg())} (1, 5 and 15 minutes)", flush=True)
