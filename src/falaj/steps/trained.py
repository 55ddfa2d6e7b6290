"""Trained: a model as it goes from step to step: one file, and plain values beside it."""

from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pyarrow as pa

from falaj.definitions.signature import Signature
from falaj.definitions.task import Task
from falaj.kernel.errors import DataError
from falaj.kernel.names import did_you_mean
from falaj.models.encoding import encode_columns
from falaj.models.making import Made
from falaj.models.runtimes.calibrated import CalibratedRuntime, Calibration
from falaj.models.runtimes.load import load_bytes
from falaj.models.runtimes.port import Matrix, Runtime
from falaj.models.tuning.found import Found

_DTYPES = {"string": "string", "large_string": "string", "bool": "bool"}


class Trained(TypedDict):
    """A model as it goes from step to step.

    Attributes:
        file: In ONNX, or in the library's own format where ONNX gives other scores.
        runtime: Which of them.
        native: In the library's own format, by which trees are explained; None where there is none.
        signature: Its inputs, with the vocabularies of texts.
        label: The column that it predicts.
        task: "classification" or "regression".
        calibration: What makes probabilities of its scores; empty for scores as they are.
        trainer: As a plain value; what a search found, where there was one.
        params: As used.
        importance: Column to its share of what was learned.
        parity: How far the file's scores are from the trained model's.
    """

    file: Path
    runtime: str
    native: Path | None
    signature: dict[str, Any]
    label: str
    task: str
    calibration: dict[str, Any]
    trainer: dict[str, Any]
    params: dict[str, Any]
    importance: dict[str, float]
    parity: dict[str, Any]


def trained(made: Made, found: Found | None, trainer: object, signature: Signature, label: str, to: Path) -> Trained:
    """Return a model as it goes from step to step, its file written into a folder.

    Args:
        made: The model.
        found: What a search ended with.
        trainer: The plain trainer.
        signature: Its inputs.
        label: The column that it predicts.
        to: The folder.
    """
    serving = made.exported.serving
    file = to / f"model.{serving.runtime}"
    file.write_bytes(serving.content)
    native = to / f"native.{made.fitted.kind}"
    if made.fitted.native is not None:
        native.write_bytes(made.fitted.native)
    return {
        "file": file,
        "runtime": serving.runtime,
        "native": None if made.fitted.native is None else native,
        "signature": msgspec.to_builtins(signature),
        "label": label,
        "task": made.fitted.task,
        "calibration": {} if made.calibration is None else msgspec.to_builtins(made.calibration),
        "trainer": msgspec.to_builtins(trainer),
        "params": made.params(found),
        "importance": made.fitted.importance,
        "parity": msgspec.to_builtins(serving.parity),
    }


def signature_of(model: Trained) -> Signature:
    """Return a model's inputs."""
    return msgspec.convert(model["signature"], Signature)


def runtime_of(model: Trained) -> Runtime:
    """Load a model, its calibration around it."""
    width = len(signature_of(model).inputs)
    runtime = load_bytes(model["file"].read_bytes(), model["runtime"], width, name=model["file"].name)
    if not model["calibration"]:
        return runtime
    return CalibratedRuntime(runtime, msgspec.convert(model["calibration"], Calibration))


def matrix_of(signature: Signature, rows: pa.Table) -> Matrix:
    """Return rows as a model takes them.

    Args:
        signature: Its inputs.
        rows: Arrow, with a column for each input.

    Raises:
        DataError: A column is missing.
    """
    for spec in signature.inputs:
        column_of(rows, spec.name)
    return encode_columns(signature, {spec.name: rows.column(spec.name) for spec in signature.inputs})


def column_of(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column.

    Raises:
        DataError: There is none of that name.
    """
    if name not in rows.column_names:
        raise DataError(f"the table has no column {name!r}", hint=did_you_mean(name, rows.column_names))
    return rows.column(name)


def dtype_of(name: str, kind: pa.DataType) -> str:
    """Return what a column of an Arrow type is to a model.

    Raises:
        DataError: It is nothing that a model learns from.

    Example:
        >>> dtype_of("amount", pa.float32())
        'float64'
    """
    if pa.types.is_integer(kind):
        return "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "float64"
    if pa.types.is_dictionary(kind):
        return dtype_of(name, kind.value_type)
    if str(kind) not in _DTYPES:
        raise DataError(
            f"column {name!r} is of type {kind}, which no model learns from", hint="leave it out: features=[...]"
        )
    return _DTYPES[str(kind)]


def task_of(task: str) -> Task:
    """Return a task, after seeing that it is one.

    Raises:
        DataError: It is none.
    """
    if task == "regression":
        return "regression"
    if task == "classification":
        return "classification"
    raise DataError(f"task {task!r} does not exist", hint="write 'classification' or 'regression'")
