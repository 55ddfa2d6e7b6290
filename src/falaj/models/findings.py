"""Findings: all that was measured of a version on one snapshot of test rows."""

import msgspec

from falaj.models.explanation import Explanation
from falaj.models.fairness import Groups
from falaj.models.leakage import Leaks
from falaj.models.parts import Part, Sliced
from falaj.models.robustness import Robust


class Findings(msgspec.Struct, frozen=True):
    """What a gate judges, and a report shows.

    Attributes:
        whole: Of all test rows.
        slices: Of the rows by the values of columns.
        leaks: What each input alone knows of the label; None where it was not measured.
        fairness: How groups were decided about, by attribute.
        robustness: What perturbed inputs do, by check.
        explanation: What the scores rest on; None where it was not measured.
    """

    whole: Part
    slices: tuple[Sliced, ...] = ()
    leaks: Leaks | None = None
    fairness: tuple[Groups, ...] = ()
    robustness: tuple[Robust, ...] = ()
    explanation: Explanation | None = None
