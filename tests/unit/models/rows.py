"""Rows to learn from, and the whole way from them to a version with its evidence."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from falaj.definitions.gate import at_least, latency, no_worse_than_production
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.signature import Signature
from falaj.definitions.split import random
from falaj.definitions.trainer import Trainer
from falaj.kernel.codec import to_builtins
from falaj.models.card_facts import CardFacts, DataFacts
from falaj.models.evaluation import best_threshold, evaluation_of
from falaj.models.export import export
from falaj.models.findings import Findings
from falaj.models.gate_report import Evidence
from falaj.models.gates import judge
from falaj.models.leakage import Leaks, measure_alone
from falaj.models.parts import Sides, measure_part
from falaj.models.plots import draw
from falaj.models.probe import probe_artifact
from falaj.models.runtimes.load import load_bytes
from falaj.models.runtimes.port import Matrix
from falaj.models.split import split_rows
from falaj.models.training import fit
from falaj.models.version import ModelVersion
from falaj.storage.blobs import BlobStore

GATES = (at_least("auc", 0.8), no_worse_than_production("auc", by=0.01), latency(p99_ms=50))


class Rows(NamedTuple):
    signature: Signature
    matrix: Matrix
    labels: NDArray[np.int64]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.signature.inputs)


def card_facts(rows: Rows, trainer: Trainer, blobs: BlobStore) -> CardFacts:
    """Split, fit, export, evaluate, time and judge, as the training pipeline does."""
    train, test, split = split_rows(random(test="20%"), None, rows.labels)
    fitted = fit(trainer, np.ascontiguousarray(rows.matrix[train]), rows.labels[train], rows.names)
    exported = export(fitted, rows.matrix)
    artifact = ArtifactRef(blobs.put(exported.serving.content), exported.serving.runtime)  # type: ignore[arg-type]
    served = load_bytes(exported.serving.content, artifact.runtime, len(rows.names), name="served")
    matrix = np.ascontiguousarray(rows.matrix[test])
    threshold = best_threshold(served.predict(np.ascontiguousarray(rows.matrix[train])), rows.labels[train])
    sides = Sides(rows.labels[test], served.predict(matrix), threshold)
    whole = measure_part(sides, seed=0)
    past = np.ascontiguousarray(rows.matrix[train]), rows.labels[train]
    leaks = Leaks(measure_alone(rows.names, past, (matrix, rows.labels[test]), seed=0))
    found = evaluation_of(sides, whole)
    evidence = Evidence(
        "fraud", None, "d" * 64, artifact, rows.signature, None, Findings(whole, leaks=leaks),
        exported.serving.parity, probe_artifact(blobs, artifact, matrix),
    )  # fmt: skip
    report = judge(GATES, evidence, at_us=1_700_000_000_000_000)
    version = ModelVersion(
        model="fraud", run_id="run_1", dataset="fraud", dataset_digest="d" * 64, artifact=artifact,
        signature=rows.signature, metrics=dict(found.metrics), trainer=to_builtins(trainer), threshold=threshold,
        code_digest="c" * 64, environment_digest="e" * 64, version=1, created_us=1_700_000_000_000_000, actor="ada",
        gate_outcome=report.outcome, gate_digest=report.digest,
    )  # fmt: skip
    data = DataFacts("transactions", "is_fraud", 0, len(rows.labels), int(rows.labels.sum()))
    return CardFacts(version, data, split, found, report, "fraud-team", "", fitted.importance, draw(found))
