"""Values of the operations on model."""

import msgspec

from falaj.app.values.bounds import VersionNumber
from falaj.app.values.status import VersionStatus
from falaj.definitions.tensor_signature import TensorSpec
from falaj.models.gate_report import GateReport


class Train(msgspec.Struct, frozen=True):
    """Ask for a training run.

    Attributes:
        model: Which model.
        reason: Why; kept with the run.
    """

    model: str
    reason: str = "asked for"


class Started(msgspec.Struct, frozen=True):
    """A run that was submitted."""

    run_id: str


class Adopt(msgspec.Struct, frozen=True):
    """Take in a model that was trained elsewhere.

    Attributes:
        model: Which model it becomes a version of; one that the project does not declare becomes a bare one.
        folder: Where MLflow's description of it lies, on the machine where the project is.
        origin: Where it came from, for people.
    """

    model: str
    folder: str
    origin: str


class Adopted(msgspec.Struct, frozen=True):
    """A model that was taken in.

    Attributes:
        run_id: The run that judges it; empty for a bare model, which no gate judges.
        version: The version of a bare model; None where the run is to say.
    """

    run_id: str
    version: int | None = None


class VersionsQuery(msgspec.Struct, frozen=True):
    """Which versions to list.

    Attributes:
        model: Only this model's; empty for all.
    """

    model: str = ""


class ShowVersion(msgspec.Struct, frozen=True):
    """Which version to show."""

    model: str
    version: VersionNumber


class VersionDetail(msgspec.Struct, frozen=True):
    """One version with its documents.

    Attributes:
        version: Its facts.
        card_markdown: The model card.
        card_html: The model card as a page.
        gate_markdown: The gate report.
        gate_html: The gate report as a page.
        gate: The gate report itself; None when no gate was judged.
    """

    version: VersionStatus
    card_markdown: str
    card_html: str
    gate_markdown: str
    gate_html: str
    gate: GateReport | None = None


class Decide(msgspec.Struct, frozen=True):
    """Approve or refuse a version.

    Attributes:
        model: The model.
        version: The version.
        comment: Why.
    """

    model: str
    version: VersionNumber
    comment: str = ""


class Decided(msgspec.Struct, frozen=True):
    """What was decided.

    Attributes:
        model: The model.
        version: The version.
        state: APPROVED or REJECTED.
        by: Who decided.
        next: What an approved version still needs before it goes out, as one sentence; empty where nothing of anybody.
    """

    model: str
    version: int
    state: str
    by: str
    next: str = ""


class AddModel(msgspec.Struct, frozen=True):
    """Keep an ONNX file as the next version of a bare model.

    Attributes:
        name: The name that it will serve under.
        file: Path of the file, on the machine where the project is.
    """

    name: str
    file: str


class Added(msgspec.Struct, frozen=True):
    """A bare model's version.

    Attributes:
        name: The model.
        version: Its number.
        digest: The file's SHA-256.
        inputs: What it takes; -1 in a shape stands for any size.
        outputs: What it gives.
    """

    name: str
    version: int
    digest: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class RemoveModel(msgspec.Struct, frozen=True):
    """Remove a version that nothing uses.

    Attributes:
        name: The model.
        version: The version; None for all of a bare model.
    """

    name: str
    version: VersionNumber | None = None


class Removed(msgspec.Struct, frozen=True):
    """What was removed."""

    name: str
    versions: tuple[int, ...]
