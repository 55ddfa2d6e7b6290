"""CardFacts: all that a model card tells."""

import msgspec

from falaj.models.evaluation import Evaluation
from falaj.models.gate_report import GateReport
from falaj.models.split import SplitSummary
from falaj.models.version import ModelVersion


class DataFacts(msgspec.Struct, frozen=True):
    """Where the rows came from.

    Attributes:
        source: The label's source.
        label: The label's column.
        delay_us: How long after its event a label becomes known.
        rows: Rows of the dataset.
        positives: Those of class 1; None of a regression.
        first_us: The earliest event, in microseconds; None for a timeless source.
        last_us: The latest event.
    """

    source: str
    label: str
    delay_us: int
    rows: int
    positives: int | None
    first_us: int | None = None
    last_us: int | None = None


class CardFacts(msgspec.Struct, frozen=True):
    """All that a card tells.

    Attributes:
        version: The registered version.
        data: Where its rows came from.
        split: How they were divided.
        evaluation: What its scores are worth on the test rows.
        report: Its gate report; None when no gate was judged.
        owner: Who answers for the model; empty when the definition names nobody.
        purpose: What it is for; a plain sentence about the label when empty.
        importance: Feature to its share.
        plots: File name to PNG bytes.
    """

    version: ModelVersion
    data: DataFacts
    split: SplitSummary
    evaluation: Evaluation
    report: GateReport | None = None
    owner: str = ""
    purpose: str = ""
    importance: dict[str, float] = {}
    plots: dict[str, bytes] = {}
