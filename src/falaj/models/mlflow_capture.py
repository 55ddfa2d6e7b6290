"""What users' own code logs with MLflow lands in the project's MLflow, tied to the run and the step.

Nothing here imports MLflow until the code does: where its runs go is said by environment variables, which MLflow reads
when it is first asked, and the rest is done when somebody has imported it.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from falaj.kernel.codec import from_json, to_json

RUN_TAG = "falaj.run"
STEP_TAG = "falaj.step"
TRY_TAG = "falaj.try"
KEY_TAG = "falaj.step_key"
PARENT_TAG = "falaj.parent"

_URI = "MLFLOW_TRACKING_URI"
_ARTIFACTS = "_MLFLOW_SERVER_ARTIFACT_ROOT"
_TAGS = "MLFLOW_RUN_CONTEXT"
_EXPERIMENT = "MLFLOW_EXPERIMENT_ID"
_NAME_TAG = "falaj.experiment"
_SQLITE = "sqlite:///"


def capture_environment(db: Path, artifacts: Path, experiment: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which whatever is logged with MLflow goes to a project's MLflow.

    Args:
        db: MLflow's database of the project.
        artifacts: The folder of its artifacts.
        experiment: The experiment of what names none.
        tags: What every run is tagged with.
    """
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        _URI: f"{_SQLITE}{db.resolve()}",
        # MLflow's store takes it as the place of new experiments' artifacts, which would else be the working folder.
        _ARTIFACTS: artifacts.resolve().as_uri(),
        _TAGS: to_json({**tags, _NAME_TAG: experiment}),
    }


def capture() -> None:
    """Let what this process logs go where its environment says, from the moment on when it imports MLflow."""
    if "mlflow" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _WhenImported("mlflow", _register))


def may_capture() -> bool:
    """Return whether nobody else has said where this process logs: another project of a notebook may be followed."""
    said = from_json(os.environ.get(_TAGS, "{}"), dict[str, str])
    return RUN_TAG not in said and (_URI not in os.environ or _NAME_TAG in said)


def capture_here(environment: Mapping[str, str]) -> None:
    """Let what this process logs from now on go where an environment says, whatever it has imported already."""
    again = _NAME_TAG in from_json(os.environ.get(_TAGS, "{}"), dict[str, str])
    os.environ.pop(_EXPERIMENT, None) if again else None
    os.environ.update(environment)
    if not again:
        capture()


def settle(*, succeeded: bool) -> None:
    """End what a step's code has left open in MLflow, and put its runs below one of the whole run.

    Args:
        succeeded: Whether the step did.
    """
    if "mlflow" not in sys.modules or _TAGS not in os.environ:
        return
    from falaj.models.mlflow_parents import settle_runs  # which needs MLflow

    settle_runs(from_json(os.environ[_TAGS], dict[str, str]), Path(_db()), succeeded=succeeded)


def experiment_id() -> str:
    """Return MLflow's identifier of the experiment that the environment names; it is made if there is none."""
    from mlflow.tracking import MlflowClient

    from falaj.models.mlflow_writing import experiment_of

    name = from_json(os.environ[_TAGS], dict[str, str])[_NAME_TAG]
    artifacts = Path(url2pathname(urlsplit(os.environ[_ARTIFACTS]).path)) / name
    found = experiment_of(MlflowClient(os.environ[_URI]), name, artifacts)
    os.environ[_EXPERIMENT] = found  # processes that this one starts need not ask
    return found


def _db() -> str:
    return os.environ[_URI].removeprefix(_SQLITE)


def _register() -> None:
    from falaj.models.mlflow_writing import prepare_database

    if os.environ.get(_URI, "").startswith(_SQLITE):  # else somebody has said otherwise since
        prepare_database(Path(_db()))
    from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider
    from mlflow.tracking.default_experiment.registry import _default_experiment_provider_registry

    class ProjectExperiment(DefaultExperimentProvider):  # type: ignore[misc]
        """The experiment of what names none."""

        def in_context(self) -> bool:
            """Whether there is one."""
            import mlflow

            return _TAGS in os.environ and mlflow.get_tracking_uri() == os.environ.get(_URI)

        def get_experiment_id(self) -> str:
            """Return its identifier."""
            return experiment_id()

    _default_experiment_provider_registry.register(ProjectExperiment)
    _default_experiment_provider_registry._registry.sort(key=lambda one: not isinstance(one, ProjectExperiment))


class _WhenImported(importlib.abc.MetaPathFinder):
    """Calls a function when a module has been imported."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module as it would be found without this, and wrap how it is loaded."""
        del path, target
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load: Any = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                self._then()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
