"""Measuring: what a candidate is worth on its test rows, beside production on the same rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace
from numpy.typing import NDArray

from falaj.definitions.cost import Cost
from falaj.definitions.gate import REGRESSION, Bound, Change, Fairness, Leakage, Robustness
from falaj.definitions.model import Model
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.definitions.slices import column_of, sliced
from falaj.definitions.task import Task
from falaj.features.entity_frame import TIME_COLUMN
from falaj.kernel.digest import digest_value
from falaj.kernel.errors import Conflict, DataError
from falaj.lifecycle.dataset import SPLIT, features_of
from falaj.lifecycle.known_then import unknown_then
from falaj.lifecycle.learning import labels_of
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import artifacts_of, service_of
from falaj.models.artifacts import load_artifact
from falaj.models.encoding import encode_columns
from falaj.models.evaluation import best_threshold, checked_rows
from falaj.models.explaining import Subject as Explained
from falaj.models.explaining import explain
from falaj.models.explanation import Explanation
from falaj.models.fairness import Groups, count_groups
from falaj.models.findings import Findings
from falaj.models.gate_report import Evidence
from falaj.models.judgement.leaks import LEAST_LATE
from falaj.models.leakage import Leaks, count_late, measure_alone
from falaj.models.metrics import Floats
from falaj.models.parts import Part, Sides, measure_part, measure_slices, texts_of
from falaj.models.perturbations import deviations_of
from falaj.models.robustness import Robust, Subject, measure_robustness
from falaj.models.runtimes.port import Matrix, Runtime
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion
from falaj.pipelines.context import StepContext

SLICE_METRICS = ("auc", "average_precision", "precision", "recall", "f1", *REGRESSION)
"""What reports show of every slice; gates may ask for others."""


@dataclass(frozen=True)
class Scorer:
    """A version's model, loaded, with the rows that it scored.

    Attributes:
        runtime: The loaded file.
        signature: Its inputs.
        training: The training rows, (rows, features); empty for production, which is not trained here.
        matrix: The test rows, (rows, features).
        scores: What it gave them, (rows,).
        threshold: From which score on a decision is positive; of a regression 0, which counts for nothing.
    """

    runtime: Runtime
    signature: Signature
    training: Matrix
    matrix: Matrix
    scores: Floats
    threshold: float


@dataclass(frozen=True)
class Measurement:
    """What the evaluation of a candidate works with.

    Attributes:
        dataset: The dataset's digest.
        training: Its training rows.
        test: Its test rows.
        labels: Those of the test rows, (rows,).
        task: The model's.
        candidate: The candidate.
        production: The version in production; None when there is none, or when it gave what is not a number.
        holder: The version that is in production; None when none is.
        service: The candidate's features.
        unchanged: Whether production answers by the candidate's own file and features.
        seed: Of all that is drawn at random: from the digests of the dataset and of both models, so that it replays.
    """

    dataset: str
    training: pa.Table
    test: pa.Table
    labels: NDArray[Any]
    task: Task
    candidate: Scorer
    production: Scorer | None
    holder: ModelVersion | None
    service: ServiceSpec
    unchanged: bool
    seed: int

    def sides(self, cost: Cost | None) -> Sides:
        """Return the scores of the test rows."""
        sides = Sides(self.labels, self.candidate.scores, self.candidate.threshold, cost=cost, task=self.task)
        if self.production is None:
            return sides
        before = self.production
        return replace(sides, production=before.scores, production_threshold=before.threshold, same=self.unchanged)


def begin(rooms: Rooms, model: Model, context: StepContext) -> Measurement:
    """Score the test rows by the file that will serve, and by production's own with its own features.

    Args:
        rooms: The project.
        model: The definition.
        context: Of the evaluate step.

    Raises:
        DataError: A score of the candidate is not a number, or of a classification no probability.
        Conflict: The version in production is of another task.
    """
    artifact, _, signature = artifacts_of(context)
    dataset = context.input("features", "dataset")
    rows = rooms.datasets.load(dataset)
    training, test = (rows.filter(pc.field(SPLIT) == part) for part in ("train", "test"))
    runtime = _runtime(rooms, model, artifact, len(signature.inputs))
    matrix, past = (_encoded(signature, part) for part in (test, training))
    scores, labels, _ = checked_rows(runtime.predict(matrix), labels_of(test), task=model.task)
    threshold = 0.0
    if model.task == "classification":
        _check_probabilities(scores)
        unseen = context.inputs["train"].get("threshold")
        if unseen is None:  # as of what was trained elsewhere
            unseen = best_threshold(runtime.predict(past), labels_of(training), model.cost)
        threshold = float(unseen)
    holder = rooms.registry.holder(model.name, Stage.PRODUCTION)
    holder = None if holder is None or holder.service is None else holder
    if holder is not None and holder.task != model.task:
        raise Conflict(
            f"model {model.name!r} is a {model.task} now, and its version {holder.version} in production is a "
            f"{holder.task}",
            hint="give the new model, and its endpoint, a name of their own: its answers mean something else",
        )
    digests = [dataset, artifact.digest, "" if holder is None else holder.artifact.digest]
    candidate = Scorer(runtime, signature, past, matrix, scores, threshold)
    production = None if holder is None else _production(rooms, model, context, holder, test)
    return Measurement(
        dataset,
        training,
        test,
        labels,
        model.task,
        candidate,
        production,
        holder,
        service_of(rooms, model),
        holder is not None and holder.artifact.digest == artifact.digest and _agree(candidate, production),
        int(digest_value(digests)[:15], 16),
    )


def _check_probabilities(scores: Floats) -> None:
    worst = float(scores[np.abs(scores - 0.5).argmax()])
    if not 0.0 <= worst <= 1.0:
        raise DataError(
            f"a score is {worst:g}, and a classification's is the probability of 1",
            hint="let the model give numbers from 0 to 1; for any number declare the model with task='regression'",
        )


def _runtime(rooms: Rooms, model: Model, artifact: ArtifactRef, features: int) -> Runtime:
    """Load the one file whose answers count: which of several is the fastest may differ, and so do their last bits."""
    return load_artifact(rooms.blobs, replace(artifact, beside=()), features, rooms.python_place(model.name))


def _agree(one: Scorer, other: Scorer | None) -> bool:
    """Return whether one file was asked for the same scores, by features that are the same."""
    return other is not None and np.array_equal(one.scores, other.scores)


def _encoded(signature: Signature, rows: pa.Table) -> Matrix:
    return encode_columns(signature, {spec.name: rows.column(spec.name) for spec in signature.inputs})


def _production(
    rooms: Rooms, model: Model, context: StepContext, holder: ModelVersion, test: pa.Table
) -> Scorer | None:
    assert holder.service is not None
    rows = test
    if holder.service.digest != service_of(rooms, model).digest:
        rows = _same_rows(rooms, model, context, holder.service)
    matrix = _encoded(holder.signature, rows)
    runtime = _runtime(rooms, model, holder.artifact, matrix.shape[1])
    scores = np.asarray(runtime.predict(matrix), np.float64)
    if not np.isfinite(scores).all():
        return None
    return Scorer(runtime, holder.signature, matrix[:0], matrix, scores, holder.threshold or 0.0)


def _same_rows(rooms: Rooms, model: Model, context: StepContext, service: ServiceSpec) -> pa.Table:
    """Return the test rows with another service's features: examples come in one order, so positions agree."""
    everything = features_of(rooms, model, service, context.input("validate", "versions"))
    whole = rooms.datasets.load(context.input("features", "dataset"))
    positions = np.flatnonzero(np.asarray(whole.column(SPLIT).to_pylist(), dtype=object) == "test")
    return everything.take(pa.array(positions))


def findings_of(rooms: Rooms, model: Model, context: StepContext, found: Measurement) -> Findings:
    """Measure all that the model's gates ask for, and what reports show besides.

    Args:
        rooms: The project.
        model: The definition.
        context: Of the evaluate step.
        found: The scored rows.
    """
    sides = found.sides(model.cost)
    whole = measure_part(sides, seed=found.seed)
    columns, required, metrics = _slices(model)
    texts = {column: texts_of(found.test.column(column).to_pylist()) for column in columns}
    slices = measure_slices(sides, texts, required, seed=found.seed, names=metrics)
    return Findings(
        whole,
        slices,
        _leaks(rooms, model, context, found),
        _groups(model, found, sides),
        tuple(_robustness(check, sides, found) for check in model.gates if isinstance(check, Robustness)),
        _explanation(rooms, context, found),
    )


def _groups(model: Model, found: Measurement, sides: Sides) -> tuple[Groups, ...]:
    judged: dict[str, list[str]] = {}
    for check in model.gates:
        if isinstance(check, Fairness):
            judged.setdefault(column_of(check.attribute), []).extend(check.groups)
    return tuple(
        count_groups(column, texts_of(found.test.column(column).to_pylist()), sides, groups)
        for column, groups in judged.items()
    )


def _leaks(rooms: Rooms, model: Model, context: StepContext, found: Measurement) -> Leaks:
    signature = found.candidate.signature
    alone = measure_alone(
        [spec.name for spec in signature.inputs],
        (found.candidate.training, labels_of(found.training)),
        (found.candidate.matrix, found.labels),
        categorical=_texts(signature),
        seed=found.seed,
        task=found.task,
    )
    if TIME_COLUMN not in found.test.column_names:
        return Leaks(alone)
    outputs = [name for name, dtype in found.service.outputs if dtype == "timestamp"]
    instants = {name: _microseconds(found.test.column(name)) for name in outputs}
    late = count_late(instants, _microseconds(found.test.column(TIME_COLUMN)))
    asked = [check.late for check in model.gates if isinstance(check, Leakage) and check.late is not None]
    if not asked:
        return Leaks(alone, late, instants=tuple(outputs))
    versions = context.input("validate", "versions")
    least = min(share or LEAST_LATE for share in asked)
    compared, unknown = unknown_then(rooms, found.service, versions, found.test, found.seed, late=least)
    return Leaks(alone, late, compared, unknown, tuple(outputs))


def _microseconds(column: Any) -> NDArray[np.int64]:
    found: NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), np.iinfo(np.int64).min).to_numpy()
    return found


def _texts(signature: Signature) -> list[str]:
    return [spec.name for spec in signature.inputs if spec.dtype == "string"]


def _robustness(check: Robustness, sides: Sides, found: Measurement) -> Robust:
    one, other = found.candidate, found.production if check.against == "production" else None
    if other is None and check.against == "production":
        return Robust(check.name, ())
    candidate = Subject(one.runtime.predict, one.signature, one.matrix, deviations_of(one.signature, one.training))
    production = None
    if other is not None:
        deviations = deviations_of(other.signature, other.matrix) | candidate.deviations
        production = Subject(other.runtime.predict, other.signature, other.matrix, deviations)
    return measure_robustness(check, sides, candidate, production, seed=found.seed)


def _explanation(rooms: Rooms, context: StepContext, found: Measurement) -> Explanation:
    signature = found.candidate.signature
    _, files, _ = artifacts_of(context)
    one = found.candidate
    return explain(
        Explained(one.runtime.predict, signature, one.matrix, found.labels, found.task, one.threshold),
        {kind: rooms.blobs.get(file.digest) for kind, file in files.items() if kind in ("lightgbm", "xgboost")},
        seed=found.seed,
    )


def _slices(model: Model) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Return the columns that slice, the values that must be there, and the metrics that are measured there."""
    checks = [check for check in model.gates if isinstance(check, Bound | Change)]
    required: dict[str, list[str]] = {}
    for slices in (model.slices, *(check.slices for check in checks)):
        for column, values in sliced(slices):
            required.setdefault(column_of(column), []).extend(values)
    metrics = [check.metric for check in checks if check.slices]
    return list(required), required, list(dict.fromkeys([*SLICE_METRICS, *metrics]))


def production_evidence(model: Model, found: Measurement) -> Evidence | None:
    """Return what is known of the version in production; None when none is.

    Args:
        model: The definition.
        found: The scored rows.
    """
    holder = found.holder
    if holder is None:
        return None
    return Evidence(
        model=model.name,
        version=holder.version,
        dataset_digest=found.dataset,
        artifact=holder.artifact,
        signature=holder.signature,
        service=holder.service,
        findings=Findings(Part(len(found.labels), found.sides(None).positives)),
    )
