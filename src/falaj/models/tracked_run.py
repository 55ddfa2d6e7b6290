"""TrackedRun: what MLflow shows of one training run."""

import importlib.metadata
from typing import Any

import msgspec

from falaj.definitions.signature import Signature


class TrackedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What MLflow shows of one training run.

    Attributes:
        model: The model's name: the experiment.
        run_id: Falaj's run.
        dataset: The dataset's name.
        dataset_digest: Its digest.
        source: The label's source.
        started_us: When the run began, in microseconds.
        ended_us: When it ended.
        params: Parameters of the trainer and the split.
        metrics: Metric name to value; what is not a number is left out.
        tags: Code and environment digests, the gate's outcome, and what else people search by.
        files: Path to bytes: plots, the card, the list of packages.
        onnx: The ONNX file, kept so that `mlflow.pyfunc.load_model` loads it; None for another runtime.
        signature: Its inputs.
    """

    model: str
    run_id: str
    dataset: str
    dataset_digest: str
    source: str
    started_us: int
    ended_us: int
    signature: Signature
    params: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
    tags: dict[str, str] = {}
    files: dict[str, bytes] = {}
    onnx: bytes | None = None


def installed_packages() -> str:
    """Return the installed packages as the lines of a requirements file."""
    found = {f"{each.name}=={each.version}" for each in importlib.metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"
