"""ModelVersion: one registered, numbered result of training, and all that it stands on."""

import msgspec

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.signature import Signature
from falaj.definitions.task import Task
from falaj.definitions.tensor_signature import TensorSignature
from falaj.models.gate_report import Outcome

REMOVED = "removed"
"""Among a version's documents: it was removed. What stands beside it is who did it, not a blob."""


class NewVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What training hands to the registry.

    Attributes:
        model: The model's name.
        run_id: The run that made it; the registry keeps one version per run.
        dataset: The dataset's name.
        dataset_digest: Its digest.
        artifact: The file that serves.
        artifacts: All its files by name, such as "native" and "onnx".
        signature: Its inputs.
        service: Its pinned features; None where the caller sends them.
        metrics: Metric name to value on the test rows; None where it is not a number.
        trainer: The trainer's plain values, for people.
        threshold: The score from which a decision is positive; None of a regression, which decides nothing.
        code_digest: Digest of the project's code that made it.
        environment_digest: Digest of the installed packages.
        reference_digest: Blob of the reference histograms that drift is measured against; empty for none.
        mlflow_run_id: Where it is tracked; empty for nowhere.
        labels: How many mature labels were known when it was trained; triggers count from there.
        rows: How many rows its label's source had then, labelled or not; triggers count from there too.
        label_digest: Digest of what it learned: the label's source and column, and the task.
        parent: The version that this one continues; 0 where it was trained anew.
        generation: Which continuation in a row since the last full training it is.
        state_digest: Blob of what a later training goes on from, where none of its files is that.
        tensors: What a bare model takes and gives; None for what was trained. A bare one has no dataset.
        task: What it predicts.
    """

    model: str
    run_id: str
    dataset: str
    dataset_digest: str
    artifact: ArtifactRef
    signature: Signature
    service: ServiceSpec | None = None
    artifacts: dict[str, ArtifactRef] = {}
    metrics: dict[str, float | None] = {}
    trainer: dict[str, object] = {}
    threshold: float | None = 0.5
    code_digest: str = ""
    environment_digest: str = ""
    reference_digest: str = ""
    mlflow_run_id: str = ""
    labels: int = 0
    rows: int = 0
    label_digest: str = ""
    parent: int = 0
    generation: int = 0
    state_digest: str = ""
    tensors: TensorSignature | None = None
    task: Task = "classification"


class ModelVersion(NewVersion, frozen=True, kw_only=True):
    """A registered version; nothing of it changes but the documents that are added.

    Attributes:
        version: Its number: 1, 2, 3, … of its model.
        created_us: When it was registered, in microseconds.
        actor: Who had it trained, and who therefore may not approve it.
        gate_outcome: The gate's finding; None when no gate was judged.
        gate_digest: Blob of the gate report; empty for none.
        documents: Document name to blob, such as "card.html".
    """

    version: int
    created_us: int
    actor: str
    gate_outcome: Outcome | None = None
    gate_digest: str = ""
    documents: dict[str, str] = {}

    @property
    def adopted(self) -> bool:
        """Whether it was trained elsewhere, so that nobody here knows on which rows."""
        return "from" in self.trainer

    @property
    def removed(self) -> bool:
        """Whether it was removed: its number stays taken, because records and audits name it."""
        return REMOVED in self.documents

    @property
    def subject(self) -> str:
        """How approvals and audit records call it, such as `fraud/3`."""
        return f"{self.model}/{self.version}"
