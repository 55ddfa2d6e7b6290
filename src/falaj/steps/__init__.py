"""Steps that pipelines of your own can call: the training pipeline's own work, on tables and on the project.

They work in a run, in a notebook and in a test. What makes models here is what makes Falaj's versions. Each is loaded
when it is first named: a file of definitions that imports this package waits for no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from falaj.steps.finishing import calibrate, export
    from falaj.steps.judge import choose_threshold, evaluate, explain, fairness, robustness
    from falaj.steps.learn import train, tune
    from falaj.steps.project import build_dataset, ingest, register, validate
    from falaj.steps.rows import predict, split
    from falaj.steps.trained import Trained

_MODULES = {
    "build_dataset": "project",
    "calibrate": "finishing",
    "choose_threshold": "judge",
    "evaluate": "judge",
    "explain": "judge",
    "export": "finishing",
    "fairness": "judge",
    "ingest": "project",
    "predict": "rows",
    "register": "project",
    "robustness": "judge",
    "split": "rows",
    "train": "learn",
    "Trained": "trained",
    "tune": "learn",
    "validate": "project",
}

__all__ = [
    "Trained",
    "build_dataset",
    "calibrate",
    "choose_threshold",
    "evaluate",
    "explain",
    "export",
    "fairness",
    "ingest",
    "predict",
    "register",
    "robustness",
    "split",
    "train",
    "tune",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
