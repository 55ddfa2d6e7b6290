"""Writing into MLflow: its quiet import, and one run's values and files."""

import contextlib
import importlib.metadata
import logging
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from falaj.models.tracked_run import TrackedRun
from falaj.storage.filelock import FileLock

MODEL_FOLDER = "model"

_DIGEST_LENGTH = 36  # MLflow's limit for a dataset's digest; the whole one is a tag
_BATCH = 100

_KIND = ("mlflow.experimentKind", "custom_model_development")
"""What MLflow's pages show an experiment as; where nothing says it they guess, and try to write the guess down."""


def load_mlflow() -> Any:
    """Import MLflow with its telemetry off and its messages about migrations held back.

    Its telemetry reads the environment once, when the package is imported: whoever imports it elsewhere in a process
    of ours does it through here.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with own_warnings_aside():
        import mlflow
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


@contextlib.contextmanager
def own_warnings_aside() -> Iterator[None]:
    """Hold back what MLflow warns of: its own classes and its libraries' deprecations, which no user can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def prepare_database(db: Path) -> None:
    """Let MLflow make its tables if they are not there, one process at a time.

    MLflow's own lock lets two processes into its first migrations, of which one then fails.

    Args:
        db: MLflow's database.
    """
    done = db.with_suffix(".made")
    if done.exists() and db.exists():
        return
    with FileLock(db.with_suffix(".making"), "MLflow's database", wait=True):
        if done.exists() and db.exists():
            return
        load_mlflow()
        with own_warnings_aside():
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            db.parent.mkdir(parents=True, exist_ok=True)
            store = SqlAlchemyStore(f"sqlite:///{db.resolve()}", (db.parent / "mlflow").resolve().as_uri())
            store.engine.dispose()
        done.touch()


def experiment_of(client: Any, name: str, artifacts: Path) -> str:
    """Return the identifier of the experiment of a name, made if there is none.

    Args:
        client: MLflow's.
        name: The experiment's name.
        artifacts: Where its artifacts lie if it is made.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts.as_uri(), tags=dict([_KIND])))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise
    if _KIND[0] not in found.tags:
        client.set_experiment_tag(found.experiment_id, *_KIND)
    return str(found.experiment_id)


def log_values(client: Any, mlflow_id: str, run: TrackedRun) -> None:
    """Write a run's metrics, parameters, tags and dataset; again is harmless."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    metrics = [
        Metric(name, float(value), run.ended_us // 1000, 0)
        for name, value in run.metrics.items()
        if value is not None and math.isfinite(value)
    ]
    params = [Param(name, str(value)) for name, value in run.params.items()]
    told = {"falaj.dataset_digest": run.dataset_digest, **run.tags}
    tags = [RunTag(name, str(value)) for name, value in told.items()]
    for start in range(0, max(len(metrics), len(params), len(tags)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(mlflow_id, metrics[part], params[part], tags[part])
    dataset = Dataset(run.dataset, run.dataset_digest[:_DIGEST_LENGTH], "falaj", run.source)
    client.log_inputs(mlflow_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def log_files(client: Any, mlflow_id: str, run: TrackedRun) -> None:
    """Write a run's files, and its model where it is an ONNX file; again is harmless."""
    with tempfile.TemporaryDirectory(prefix="falaj-mlflow-") as name:
        folder = Path(name)
        for path, content in run.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if run.onnx is not None:
            _save_model(folder / MODEL_FOLDER, run.onnx, len(run.signature.inputs))
        client.log_artifacts(mlflow_id, str(folder))


@own_warnings_aside()
def _save_model(folder: Path, content: bytes, features: int) -> None:
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    inputs = Schema([TensorSpec(np.dtype("float32"), (-1, features), "features")])
    mlflow.onnx.save_model(
        onnx.load_model_from_string(content),
        str(folder),
        signature=ModelSignature(inputs),
        # Named, because MLflow would otherwise start a process to find out.
        pip_requirements=[f"onnxruntime=={importlib.metadata.version('onnxruntime')}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
