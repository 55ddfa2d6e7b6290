"""Values of the operations on model."""

import msgspec

from falaj.app.values.bounds import VersionNumber
from falaj.app.values.status import VersionStatus


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
    """

    version: VersionStatus
    card_markdown: str
    card_html: str
    gate_markdown: str
    gate_html: str


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
    """

    model: str
    version: int
    state: str
    by: str
